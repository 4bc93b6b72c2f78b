//! What a worker's sentence means to whoever has typed a command: it names the worker's own variables.

/// A worker's variable, and what a command has in its place.
const HERE: [(&str, &str); 20] = [
    (
        "AGE_IDENTITY",
        "--identity-file, --ask-identity, --identity-secret or ADAPTER_AGE_IDENTITY",
    ),
    (
        "DB_PASSWORD",
        "-W, --password-file, --password-secret or ADAPTER_DB_PASSWORD",
    ),
    (
        "S3_ACCESS_KEY",
        "--ask-keys, --keys-file, --keys-secret or ADAPTER_S3_ACCESS_KEY",
    ),
    ("S3_BUCKET_NAME", "--store"),
    ("STORE_URL", "--store"),
    (
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "--keys-file, --keys-secret or ADAPTER_GOOGLE_SERVICE_ACCOUNT_KEY",
    ),
    (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "--ask-keys, --keys-file, --keys-secret or ADAPTER_AZURE_STORAGE_ACCOUNT_KEY",
    ),
    (
        "AZURE_STORAGE_SAS_TOKEN",
        "--ask-keys, --keys-file, --sas-secret or ADAPTER_AZURE_STORAGE_SAS_TOKEN",
    ),
    ("BACKUP_REVISION", "--backup"),
    ("BACKUP_SOURCE", "--source"),
    ("CLUSTER_NAME", "--cluster-name"),
    ("DELETE_LAST", "--last"),
    ("ENCRYPT_MANIFEST", "--encrypt-manifest"),
    ("ENCRYPT_TO", "--encrypt-to"),
    ("INCLUDE_TABLES", "--include-table"),
    ("KEY_TEMPLATE", "--key-template"),
    ("RESTORE_KEEP_GOING", "--keep-going"),
    ("RESTORE_MODE", "--mode"),
    ("RESTORE_OWNERS", "--owners"),
    ("RESTORE_ROLES", "--roles"),
];

/// A line for each variable in a sentence that a command has an option for.
pub(super) fn hints(sentence: &str) -> String {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<&str> = sentence.split(|c| !is_in_name(c)).collect();
    let named = HERE.iter().filter(|(name, _)| words.contains(name));
    let lines = named.map(|(name, here)| format!("{name} is here {here}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::hints;

    #[test]
    fn a_variable_of_a_workers_is_told_as_what_it_is_in_a_command() {
        let told = hints("check DB_USER and DB_PASSWORD, and the server's pg_hba.conf");
        assert!(told.starts_with("DB_PASSWORD is here -W, "), "{told}");
        assert_eq!(told.lines().count(), 1);
        let told = hints("it is the only complete one; set DELETE_LAST=true");
        assert_eq!(told, "DELETE_LAST is here --last\n");
        assert_eq!(hints("ADAPTER_DB_PASSWORD is empty"), "");
        assert_eq!(hints("there is no such schedule"), "");
    }
}
