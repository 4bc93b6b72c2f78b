//! The list of callers in a mounted ConfigMap, and how it changes under a scheduler that runs.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use scheduler::api::proto::backup_service_client::BackupServiceClient;
use sha2::{Digest as _, Sha256};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

use super::process::start_with;
use crate::calls::requests;
use crate::testbed::tls::Authority;
use crate::testbed::{block_on, env, folder, unique, wait_for};

/// A volume as kubelet keeps it: the file is a link into `..data`, which is a link that is swapped.
struct Volume(PathBuf);

impl Volume {
    fn new(list: &str) -> Self {
        let volume = Self(folder("access"));
        volume.swap(list);
        symlink("..data/callers.yaml", volume.file()).unwrap();
        volume
    }

    fn file(&self) -> PathBuf {
        self.0.join("callers.yaml")
    }

    fn swap(&self, list: &str) {
        let version = unique("..version-");
        std::fs::create_dir(self.0.join(&version)).unwrap();
        std::fs::write(self.0.join(&version).join("callers.yaml"), list).unwrap();
        symlink(&version, self.0.join("..data_tmp")).unwrap();
        std::fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }
}

/// Who calls: the name in a certificate, or a token.
#[derive(Clone, Copy, Debug)]
enum Who {
    Certificate(&'static str),
    Token(&'static str),
}

struct Caller<'a> {
    port: u16,
    authority: &'a Authority,
}

impl Caller<'_> {
    /// How a call is answered, on a connection of its own; none: TLS lets nobody in like that.
    fn code(&self, who: Who) -> Option<Code> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        if let Who::Certificate(name) = who {
            let signed = self.authority.sign(&[name]);
            tls = tls.identity(Identity::from_pem(signed.pem, signed.key_pem));
        }
        let address = format!("https://localhost:{}", self.port);
        let endpoint = Endpoint::from_shared(address).unwrap();
        let endpoint = endpoint.tls_config(tls).unwrap();
        let mut request =
            Request::new(requests::update("backup-gone-postgres", requests::backup()));
        if let Who::Token(token) = who {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        block_on(async {
            let mut client = BackupServiceClient::new(endpoint.connect().await.ok()?);
            let code = client.update(request).await.unwrap_err().code();
            // By TLS 1.3 a client hears only with its first call that it is not let in.
            let answered = [Code::PermissionDenied, Code::Unauthenticated].contains(&code);
            answered.then_some(code)
        })
    }

    fn becomes(&self, who: Who, wanted: Option<Code>) {
        wait_for(&format!("{who:?} is {wanted:?}"), || {
            (self.code(who) == wanted).then_some(())
        });
    }
}

/// What is answered to whoever may ask: there is no such schedule.
const LET_IN: Option<Code> = Some(Code::PermissionDenied);

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_list_that_changes_counts_within_seconds_and_one_that_is_wrong_changes_nothing() {
    let hash = |token: &str| hex::encode(Sha256::digest(token));
    let core = "- {name: core, certificate: oiler-core, role: operator}";
    let team = format!(
        "- {{name: team, token: 'sha256:{}', role: operator}}",
        hash("teams")
    );
    let volume = Volume::new(&format!("callers:\n{core}\n"));
    let authority = Authority::new();
    let (own, tls) = (authority.sign(&["localhost"]), folder("tls"));
    let (running, port) = start_with(
        &folder("data"),
        &env([
            ("ACCESS_FILE", volume.file().to_str().unwrap()),
            ("GRPC_TLS_CERT", &written(&tls, "tls.crt", &own.pem)),
            ("GRPC_TLS_KEY", &written(&tls, "tls.key", &own.key_pem)),
            (
                "GRPC_TLS_CLIENT_CA",
                &written(&tls, "ca.crt", authority.pem()),
            ),
        ]),
    );
    let caller = Caller {
        port,
        authority: &authority,
    };
    let (core_calls, team_calls) = (Who::Certificate("oiler-core"), Who::Token("teams"));
    assert_eq!(caller.code(core_calls), LET_IN);
    assert_eq!(caller.code(team_calls), None, "nobody has a token");
    volume.swap(&format!("callers:\n{core}\n{team}\n"));
    caller.becomes(team_calls, LET_IN);
    assert_eq!(caller.code(core_calls), LET_IN);
    volume.swap("callers:\n- {name: core, role: king}\n");
    let said = "the list of callers cannot be used and stays as it was";
    wait_for("it is told", || {
        running.printed().contains(said).then_some(())
    });
    assert_eq!(caller.code(core_calls), LET_IN);
    assert_eq!(caller.code(team_calls), LET_IN);
    std::fs::remove_file(volume.0.join("..data")).unwrap();
    wait_for("it is told again", || {
        running.printed().contains("cannot be read").then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    volume.swap(&format!("callers:\n{team}\n"));
    caller.becomes(core_calls, Some(Code::Unauthenticated));
    assert_eq!(caller.code(team_calls), LET_IN);
    let printed = running.printed();
    let wrong: Vec<&str> = printed.lines().filter(|it| it.contains(said)).collect();
    assert_eq!(wrong.len(), 2, "{printed}");
    assert!(wrong.iter().all(|it| it.contains("ERROR")), "{printed}");
    assert!(wrong[0].contains("king"), "{printed}");
    let changed = printed.matches("the list of callers has changed").count();
    assert_eq!(changed, 2, "{printed}");
}
