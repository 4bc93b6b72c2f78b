//! Whether a certificate names a host, by libpq's rules: `fe-secure-common.c` of PostgreSQL 15.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The names of the certificate's extension count, and its common name where the extension has none
/// of the host's kind.
pub(super) fn name(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let mut common_name_counts = true;
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|it| &it.value.general_names) {
        let (same_kind, same) = match name {
            GeneralName::DNSName(pattern) => (address.is_none(), matches(pattern, host)),
            GeneralName::IPAddress(bytes) => {
                let same = address.is_some_and(|it| is_address(it, bytes));
                (address.is_some(), same)
            }
            _ => continue,
        };
        if same {
            return true;
        }
        common_name_counts &= !same_kind;
    }
    let common_name = certificate.subject().iter_common_name().next();
    common_name_counts
        && common_name
            .and_then(|it| it.as_str().ok())
            .is_some_and(|pattern| matches(pattern, host))
}

fn is_address(address: IpAddr, bytes: &[u8]) -> bool {
    match address {
        IpAddr::V4(it) => it.octets() == bytes,
        IpAddr::V6(it) => it.octets() == bytes,
    }
}

/// The name itself, or with `*.` in place of its first label.
fn matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = pattern.strip_prefix('*') else {
        return false;
    };
    let Some((first, _)) = host.split_once('.') else {
        return false;
    };
    let rest = &host[first.len()..];
    !first.is_empty() && domain.len() > 1 && domain.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches("db.example.com", "DB.example.COM"));
        assert!(matches("*.example.com", "db.example.com"));
        for host in ["example.com", "a.db.example.com", ".example.com"] {
            assert!(!matches("*.example.com", host), "{host}");
        }
        assert!(!matches("*", "db"));
        assert!(!matches("*.", "db."));
    }

    /// The names of a certificate, and the hosts that it names and does not name.
    #[test]
    fn the_common_name_counts_where_no_name_of_the_hosts_kind_does() {
        let certificate = |common: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            let mut params = rcgen::CertificateParams::new(names).unwrap();
            let common_name = rcgen::DnType::CommonName;
            params.distinguished_name.push(common_name, common);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().to_vec()
        };
        for (common, names, host, expected) in [
            ("db", &[][..], "db", true),
            ("db", &["other"], "db", false),
            ("db", &["other"], "other", true),
            ("db", &["10.0.0.1"], "db", true),
            ("10.0.0.1", &["db"], "10.0.0.1", true),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.1", false),
            ("db", &["10.0.0.1"], "10.0.0.1", true),
            ("*.example.com", &[], "db.example.com", true),
        ] {
            let der = certificate(common, names);
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
            assert_eq!(name(&parsed, host), expected, "{common} {names:?} {host}");
        }
    }
}
