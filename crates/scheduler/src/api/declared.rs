//! A file of schedules: requests as the JSON mapping of their messages has them, in YAML.
//! <https://protobuf.dev/programming-guides/json/>

use std::path::Path;

use backuper::runtime::Failure;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::operations::requests;
use super::proto::{OPERATIONS, v1};
use crate::service::put::Wanted;

/// The message that each of them is.
const REQUEST: &str = "postgres_adapter.v1.PutScheduleRequest";

/// What the file has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    schedules: Vec<Value>,
}

/// The requests in a file.
///
/// # Errors
/// A sentence that names the file and what of it is wrong; nothing of a file that is wrong anywhere counts.
pub fn requests(path: &Path) -> Result<Vec<v1::PutScheduleRequest>, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
    read(path, &text)
}

fn read(path: &Path, text: &str) -> Result<Vec<v1::PutScheduleRequest>, Failure> {
    let wrong =
        |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", path.display()));
    let declared: Declared = serde_yaml_ng::from_str(text).map_err(|it| wrong(&it))?;
    for (index, value) in declared.schedules.iter().enumerate() {
        if let Some(name) = unquoted(value) {
            return Err(wrong(&format_args!(
                "schedule {index}: {name} is no text; put it in quotes"
            )));
        }
    }
    let pool = DescriptorPool::decode(OPERATIONS).map_err(|it| wrong(&it))?;
    let message = pool.get_message_by_name(REQUEST);
    let message = message.ok_or_else(|| wrong(&"there is no such message"))?;
    let each = declared.schedules.into_iter().enumerate();
    let requests = each.map(|(index, value)| {
        let wrong = |why: &dyn std::fmt::Display| wrong(&format_args!("schedule {index}: {why}"));
        let read = DynamicMessage::deserialize(message.clone(), value);
        let read = read.map_err(|it| wrong(&it))?;
        read.transcode_to().map_err(|it| wrong(&it))
    });
    let requests: Vec<v1::PutScheduleRequest> = requests.collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = requests.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    let twice = names
        .windows(2)
        .find(|it| it[0] == it[1] && !it[0].is_empty());
    if let Some(twice) = twice {
        return Err(wrong(&format_args!("schedule {} is there twice", twice[0])));
    }
    Ok(requests)
}

/// What the administrator has declared in a file, read as calls are.
///
/// # Errors
/// As [`requests`], and what a call would be refused for.
pub fn wanted(path: &Path, text: &str) -> Result<Vec<Wanted>, Failure> {
    let each = read(path, text)?.into_iter().map(|request| {
        let name = request.name.clone();
        let wrong =
            |why: &str| Failure::refused(format!("{}: schedule {name:?}: {why}", path.display()));
        if name.is_empty() {
            return Err(wrong("it has no name"));
        }
        if request.validate_only || request.skip_checks {
            let why = "validateOnly and skipChecks are for calls; what is declared is made, and is not tried before";
            return Err(wrong(why));
        }
        requests::put(request).map_err(|violations| {
            let sentences = violations
                .iter()
                .map(|it| format!("{}: {}", it.field, it.why));
            wrong(&sentences.collect::<Vec<_>>().join("; "))
        })
    });
    let wanted: Vec<Wanted> = each.collect::<Result<_, _>>()?;
    let mut plans: Vec<_> = wanted
        .iter()
        .map(|it| (it.plan.further_name(0), &it.name))
        .collect();
    plans.sort();
    if let Some([(_, Some(one)), (_, Some(other))]) = plans.windows(2).find(|it| it[0].0 == it[1].0)
    {
        let why = "have the same database, store and times; one of them is enough";
        let place = path.display();
        return Err(Failure::refused(format!(
            "{place}: {one} and {other} {why}"
        )));
    }
    Ok(wanted)
}

/// A secret that is no text: whoever reads it as one would show it in what it says of that.
fn unquoted(value: &Value) -> Option<&'static str> {
    let secrets = [
        ("database", ["password", "password"]),
        ("store", ["accessKey", "access_key"]),
        ("store", ["secretKey", "secret_key"]),
        ("store", ["serviceAccountKey", "service_account_key"]),
        ("store", ["accountKey", "account_key"]),
        ("store", ["sasToken", "sas_token"]),
    ];
    let server = value.get("verify").and_then(|it| it.get("server"));
    let of_drills = server.and_then(|it| it.get("password"));
    if of_drills.is_some_and(|it| !it.is_string() && !it.is_null()) {
        return Some("verify.server.password");
    }
    // A private key, where a public one is meant.
    let recipients = value.get("encryption").and_then(|it| it.get("recipients"));
    if recipients.is_some_and(|it| !is_list_of_texts(it)) {
        return Some("one of encryption.recipients, a list,");
    }
    let found = secrets.into_iter().find(|(message, names)| {
        let message = value.get(message);
        let fields = names.iter().filter_map(|it| message?.get(it));
        fields
            .into_iter()
            .any(|it| !it.is_string() && !it.is_null())
    });
    found.map(|(_, [name, _])| name)
}

fn is_list_of_texts(value: &Value) -> bool {
    let all = value.as_sequence();
    value.is_null() || all.is_some_and(|all| all.iter().all(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(entry: &str) -> String {
        let text = format!("schedules:\n- {entry}");
        let read = wanted(Path::new("schedules.yaml"), &text);
        read.expect_err(entry).sentence
    }

    const REST: &str = "store: {bucket: backups, accessKey: a, secretKey: b}, cron: \"@daily\"}";

    #[test]
    fn a_secret_that_is_no_text_is_not_shown() {
        let login = "database: {host: db, dbname: shop, user: me}";
        let drills = "verify: {cron: \"@daily\", server: {host: drills, password: 12345}}";
        let why = refusal(&format!("{{name: shop, {drills}, {login}, {REST}"));
        assert!(why.contains("verify.server.password is no text"), "{why}");
        assert!(!why.contains("12345"), "{why}");
        for database in ["password: 12345", "password: {a: hunter2}"] {
            let entry = format!(
                "{{name: shop, database: {{host: db, dbname: shop, user: me, {database}}}, {REST}"
            );
            let why = refusal(&entry);
            assert!(why.contains("quotes"), "{why}");
            assert!(!why.contains("12345") && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn what_a_schedule_has_of_its_own_is_declared_as_calls_say_it() {
        let login = "database: {host: db, dbname: shop, user: me}";
        let own = "retention: {daily: 7, timeZone: Asia/Tokyo}, format: {kind: sql.gz, sqlClean: true, compressionLevel: 9}, encryption: {recipients: [age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa]}, filters: {excludeTableData: [\"a.*\", b]}, globals: {enabled: false}, jobs: 2";
        let text = format!("schedules:\n- {{name: shop, {own}, {login}, {REST}");
        let wanted = super::wanted(Path::new("schedules.yaml"), &text).unwrap();
        let options = &wanted[0].options;
        let rules = options.retention.as_ref().map(|it| it.rules.daily);
        assert_eq!(rules, Some(7));
        assert_eq!(options.format.sql_clean, Some(true));
        assert_eq!(options.format.sql_owners, None);
        assert_eq!(options.filters.0.exclude_table_data.iter().count(), 2);
        assert_eq!(options.globals.globals, Some(false));
        let drills = "timeZone: Asia/Tokyo, verify: {cron: \"0 6 * * 0\", server: {host: drills, user: restorer, passwordSecret: {name: drills}}, sql: [SELECT 1]}";
        let text = format!("schedules:\n- {{name: shop, {drills}, {login}, {REST}");
        let wanted = super::wanted(Path::new("schedules.yaml"), &text).unwrap();
        let verify = wanted[0].verify.clone().unwrap();
        assert_eq!(verify.cron.to_string(), "CRON_TZ=Asia/Tokyo 0 6 * * 0");
        assert_eq!(verify.server.user.as_deref(), Some("restorer"));
        assert!(verify.server.password.reference().is_some());
        for (own, expected) in [
            ("retention: {daily: -1}", "out of range"),
            ("retention: {zone: UTC}", "zone"),
            ("format: {kind: tar}", "format.kind"),
            ("verify: {cron: soon}", "verify.cron"),
            ("verify: {cron: \"@daily\", sql: [\"\"]}", "verify.sql"),
            (
                "verify: {cron: \"@daily\", server: {port: 70000}}",
                "verify.server.port",
            ),
            (
                "encryption: {recipients: AGE-SECRET-KEY-1HUNTER2}",
                "a list",
            ),
            (
                "encryption: {recipients: [[AGE-SECRET-KEY-1HUNTER2]]}",
                "a list",
            ),
            (
                "encryption: {recipients: [AGE-SECRET-KEY-1HUNTER2]}",
                "encryption.recipients",
            ),
        ] {
            let why = refusal(&format!("{{name: shop, {own}, {login}, {REST}"));
            assert!(why.contains(expected), "{own}: {why}");
            assert!(!why.contains("HUNTER2"), "{why}");
        }
    }

    #[test]
    fn what_is_declared_has_a_name_and_is_made() {
        let login = "database: {host: db, dbname: shop, user: me}";
        for (entry, expected) in [
            (format!("{{{login}, {REST}"), "no name"),
            (
                format!("{{name: shop, validateOnly: true, {login}, {REST}"),
                "validateOnly",
            ),
            (
                format!("{{name: shop, {login}, {REST}\n- {{name: shop, {login}, {REST}"),
                "twice",
            ),
            (
                format!("{{name: shop, surprise: 1, {login}, {REST}"),
                "surprise",
            ),
            (
                format!("{{name: shop, {login}, {REST}\n- {{name: crm, {login}, {REST}"),
                "same database, store and times",
            ),
        ] {
            let why = refusal(&entry);
            assert!(why.contains(expected), "{entry}: {why}");
        }
    }
}
