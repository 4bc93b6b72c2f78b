//! Callers that are ServiceAccounts: real tokens of a real API server, and those that it would not vouch for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Config};
use rcgen::SigningKey as _;
use scheduler::api::authenticate::{Authentication, Reviews};
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::domain::callers::Callers;
use scheduler::engine::kubernetes::token_review::TokenReviews;
use scheduler::listener::Limits;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::user;
use crate::calls::{Server, requests};
use crate::cluster::{Cluster, Namespace, eventually};
use crate::testbed::block_on;
use crate::testbed::postgres::free_port;

const AUDIENCE: &str = "postgres-adapter";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

fn list(namespace: &str) -> Callers {
    let text = format!(
        "
callers:
- {{name: ci, serviceAccount: {namespace}/ci, role: operator}}
- {{name: eyes, serviceAccount: {namespace}/eyes, role: viewer}}
- {{name: all, group: 'system:serviceaccounts:{namespace}-of-a-team', role: operator}}
"
    );
    Callers::parse(&text).unwrap()
}

/// A server whose callers are that namespace's accounts, and which asks this cluster.
async fn server(config: Config, namespace: &str) -> Server {
    let reviews = TokenReviews::connect(config, AUDIENCE).unwrap();
    let reviews = Reviews::by(Box::new(move |token| {
        let reviews = reviews.clone();
        Box::pin(async move { reviews.user(&token).await })
    }));
    let list = watch::Sender::new(Arc::new(list(namespace)));
    let callers = Authentication::by(list.subscribe(), Some(reviews));
    Server::start_for(None, Limits::of_this_process(), callers).await
}

async fn call(server: &Server, token: &str) -> Result<(), Status> {
    called(server.client().await, token).await
}

async fn called(mut client: BackupServiceClient<Channel>, token: &str) -> Result<(), Status> {
    let mut request = Request::new(requests::backup());
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    client.backup(request).await.map(drop)
}

async fn code(server: &Server, token: &str) -> Code {
    let called = call(server, token).await;
    called.err().map_or(Code::Ok, |it| it.code())
}

/// A token of an account's, which is made when it is missing.
async fn token(namespace: &Namespace, account: &str, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = namespace.api();
    let new = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(account.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    if accounts.get_opt(account).await.unwrap().is_none() {
        accounts.create(&PostParams::default(), &new).await.unwrap();
    }
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    made.unwrap().status.unwrap().token
}

/// The same token, as if it had been issued some time ago, signed by this key.
fn issued_earlier(token: &str, seconds: i64, key: &str) -> String {
    let [header, payload, _] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("no token");
    };
    let payload = BASE64.decode(payload).unwrap();
    let mut payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    for time in ["iat", "nbf", "exp"] {
        payload[time] = (payload[time].as_i64().unwrap() - seconds).into();
    }
    let signed = format!("{header}.{}", BASE64.encode(payload.to_string()));
    let key = rcgen::KeyPair::from_pem(key).unwrap();
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64.encode(fixed(&signature)))
}

/// ECDSA's two numbers as JSON Web Tokens have them (RFC 7518, 3.4), of ASN.1.
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        both.extend(std::iter::repeat_n(0, 32 - number.len()));
        both.extend(number);
        rest = &rest[2 + length..];
    }
    both
}

/// S01.
#[test]
fn a_service_account_is_let_in_by_a_token_that_was_issued_for_us_and_by_no_other() {
    Cluster::shared().within(async |namespace| {
        let server = server(namespace.cluster.config(), &namespace.name).await;
        let ci = token(&namespace, "ci", AUDIENCE).await;
        let eyes = token(&namespace, "eyes", AUDIENCE).await;
        let stranger = token(&namespace, "stranger", AUDIENCE).await;
        let for_others = token(&namespace, "ci", "https://kubernetes.default.svc").await;
        let (key, other) = (namespace.cluster.token_key(), rcgen::KeyPair::generate());
        let other = other.unwrap().serialize_pem();
        for (what, token, wanted) in [
            ("an operator's", ci.clone(), Code::Ok),
            ("a viewer's", eyes, Code::PermissionDenied),
            ("nobody's in the list", stranger, Code::Unauthenticated),
            ("another audience's", for_others, Code::Unauthenticated),
            ("signed anew", issued_earlier(&ci, 1, &key), Code::Ok),
            (
                "expired",
                issued_earlier(&ci, 3_600, &key),
                Code::Unauthenticated,
            ),
            (
                "forged",
                issued_earlier(&ci, 1, &other),
                Code::Unauthenticated,
            ),
            ("cut", ci[..ci.len() - 2].to_owned(), Code::Unauthenticated),
            ("a password", "hunter2".to_owned(), Code::Unauthenticated),
        ] {
            assert_eq!(code(&server, &token).await, wanted, "{what}");
        }
    });
}

#[test]
fn an_account_that_is_deleted_is_let_in_no_longer() {
    Cluster::shared().within(async |namespace| {
        let config = namespace.cluster.config();
        let ci = token(&namespace, "ci", AUDIENCE).await;
        let accounts: Api<ServiceAccount> = namespace.api();
        let before = server(config.clone(), &namespace.name).await;
        assert_eq!(code(&before, &ci).await, Code::Ok);
        accounts
            .delete("ci", &DeleteParams::default())
            .await
            .unwrap();
        // One that has not asked yet, so that nobody waits until an answer is forgotten.
        eventually("it is gone", async || {
            let after = server(config.clone(), &namespace.name).await;
            (code(&after, &ci).await == Code::Unauthenticated).then_some(())
        })
        .await;
    });
}

#[test]
fn a_cluster_that_cannot_be_asked_opens_no_door() {
    block_on(async {
        let cluster = MockServer::start().await;
        let config = Config::new(cluster.uri().parse().unwrap());
        let server = server(config, "team-a").await;
        for answer in [
            ResponseTemplate::new(503),
            ResponseTemplate::new(200).set_body_string("not JSON"),
        ] {
            cluster.reset().await;
            let asked = Mock::given(path(REVIEWS)).respond_with(answer).expect(1..);
            asked.mount(&cluster).await;
            let refused = call(&server, "header.payload.signature").await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
            assert!(!refused.message().contains("payload"), "{refused}");
        }
        // A cluster that knows no audiences vouches for tokens that are for others to read.
        cluster.reset().await;
        let blind = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {},
            "status": {"authenticated": true,
                       "user": {"username": "system:serviceaccount:team-a:ci"}},
        });
        let answer = ResponseTemplate::new(201).set_body_json(blind);
        Mock::given(path(REVIEWS))
            .respond_with(answer)
            .mount(&cluster)
            .await;
        assert_eq!(code(&server, "h.p.s").await, Code::Unauthenticated);
        let nobody = format!("http://127.0.0.1:{}", free_port());
        let server = self::server(Config::new(nobody.parse().unwrap()), "team-a").await;
        assert_eq!(code(&server, "h.p.s").await, Code::Unavailable);
    });
}

/// What docs/security.md says to grant is enough, and without it nobody is let in.
#[test]
fn the_scheduler_may_ask_about_tokens_where_it_was_granted_that() {
    Cluster::shared().within(async |namespace| {
        let ci = token(&namespace, "ci", AUDIENCE).await;
        let mut config = namespace.cluster.config();
        config.auth_info.impersonate = Some(user(&namespace));
        let server = server(config, &namespace.name).await;
        assert_eq!(code(&server, &ci).await, Code::Unavailable);
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta {
                name: Some(namespace.name.clone()),
                ..ObjectMeta::default()
            },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: "system:auth-delegator".to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: "scheduler".to_owned(),
                namespace: Some(namespace.name.clone()),
                api_group: None,
            }]),
        };
        let bindings: Api<ClusterRoleBinding> = Api::all(namespace.cluster.client());
        let made = bindings.create(&PostParams::default(), &binding).await;
        made.unwrap();
        eventually("the grant is known", async || {
            (code(&server, &ci).await == Code::Ok).then_some(())
        })
        .await;
        let gone = bindings
            .delete(&namespace.name, &DeleteParams::default())
            .await;
        gone.unwrap();
    });
}

#[test]
fn the_process_asks_its_own_cluster() {
    use super::process::Process;
    Cluster::shared().within(async |namespace| {
        let file = crate::testbed::folder("access").join("callers.yaml");
        let list = format!(
            "callers: [{{name: ci, serviceAccount: {}/ci, role: operator}}]",
            namespace.name
        );
        std::fs::write(&file, list).unwrap();
        let kubeconfig = namespace.cluster.kubeconfig();
        let process = Process::start_with(
            kubeconfig.to_str().unwrap(),
            &namespace.name,
            "1",
            &crate::testbed::env([
                ("ACCESS_FILE", file.to_str().unwrap()),
                ("ACCESS_AUDIENCE", "ours"),
            ]),
        );
        drop(process.ready().await);
        let client = async || {
            let address = format!("http://127.0.0.1:{}", process.port);
            let channel = Endpoint::from_shared(address).unwrap().connect().await;
            BackupServiceClient::new(channel.unwrap())
        };
        let ours = token(&namespace, "ci", "ours").await;
        called(client().await, &ours).await.expect("let in");
        let others = token(&namespace, "ci", AUDIENCE).await;
        let refused = called(client().await, &others).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let printed = process.running.printed();
        assert!(!printed.contains(&ours) && !printed.contains(&others));
        process.stop();
    });
}
