//! Restore drills of schedules at their times, on Kubernetes: whose password their Jobs read, and what stays.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use scheduler::api::proto::v1;

use super::put::{begun, wanted, with_secrets};
use crate::cluster::{Cluster, Namespace, eventually};
use crate::operations;
use crate::testbed::Env;

const KEPT: &str = "postgres-adapter.io/drills";

fn proved(cron: &str, password: &str) -> v1::PutScheduleRequest {
    v1::PutScheduleRequest {
        verify: Some(v1::Verify {
            cron: cron.to_owned(),
            server: Some(v1::DrillServer {
                host: "drills.example".to_owned(),
                user: "restorer".to_owned(),
                password: password.to_owned(),
                ..v1::DrillServer::default()
            }),
            sql: vec!["SELECT 1".to_owned()],
        }),
        ..wanted("shop", "0 3 * * *")
    }
}

async fn kept(namespace: &Namespace) -> Option<String> {
    let found: CronJob = namespace.api().get("shop").await.unwrap();
    found.annotations().get(KEPT).cloned()
}

/// The Secret and the key in it that a Job's worker reads its database's password from.
fn password_of(job: &Job) -> (String, String) {
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let mut variables = pod.containers[0].env.iter().flatten();
    let password = variables.find(|it| it.name == "DB_PASSWORD").unwrap();
    let read = password.value_from.clone().unwrap().secret_key_ref.unwrap();
    (read.name, read.key)
}

/// Issue 14, section 3, for schedules of the operations API.
#[test]
fn a_drill_at_its_time_has_the_password_of_its_own_server_and_what_it_has_shown_is_kept() {
    Cluster::shared().within(async |namespace| {
        let (process, mut client) = begun(&namespace, &Env::default()).await;
        let put = with_secrets(proved("@every 2s", "theirs"));
        client.put_schedule(put).await.unwrap();
        eventually("its times are followed", async || kept(&namespace).await).await;
        let request = v1::RunScheduleRequest {
            name: "shop".to_owned(),
            request_id: String::new(),
        };
        let backup = client.run_schedule(request).await.unwrap().into_inner();
        let pod = namespace.pod_of(&backup.name).await.name_any();
        // No drill before there is a backup.
        assert_eq!(namespace.jobs().await.len(), 1);
        namespace.end_pod(&pod, 0, "backup complete and verified").await;
        let begun = eventually("its drill", async || {
            let mut jobs = namespace.started_jobs().await;
            jobs.retain(|it| it.name_any() != backup.name);
            jobs.pop()
        })
        .await;
        let (secret, key) = password_of(&begun);
        let found: Secret = namespace.api().get(&secret).await.unwrap();
        assert_eq!(found.data.unwrap()[&key].0, b"theirs");
        let database = &begun.annotations()["postgres-adapter.io/database"];
        assert_eq!(database, "drills.example:5432/restore_drill_shop");

        // Other times, the same login: its password stays.
        client.put_schedule(proved("0 0 1 1 *", "")).await.unwrap();
        let said = "restore drill passed: shop/1 was restored into drills.example:5432/restore_drill_x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)";
        let pod = namespace.pod_of(&begun.name_any()).await.name_any();
        namespace.end_pod(&pod, 0, said).await;
        eventually("what it has shown is kept", async || {
            let kept = kept(&namespace).await?;
            (kept.contains("drill passed") && !kept.contains("under_way")).then_some(())
        })
        .await;
        let shown = operations::get(&mut client, "shop").await.unwrap();
        let verification = shown.verification.unwrap();
        assert_eq!(verification.last_result(), v1::drill::Result::Passed);
        assert_eq!(verification.last_run, begun.name_any());
        let verify = shown.verify.unwrap();
        assert_eq!(verify.server.unwrap().host, "drills.example");
        let next = shown.next_verify_time.unwrap();
        assert!(next.seconds > 1_795_000_000, "{next:?}");

        // What is kept for one server is not sent to another, nor lost unsaid.
        let mut other = proved("0 0 1 1 *", "");
        let server = other.verify.as_mut().unwrap().server.as_mut().unwrap();
        server.host = "other.example".to_owned();
        let status = client.put_schedule(other.clone()).await.unwrap_err();
        assert!(status.message().contains("for another login"), "{status}");
        other.verify = None;
        let put = client.put_schedule(other).await.unwrap().into_inner();
        assert_eq!(put.changed, ["verify"]);
        eventually("nothing is kept", async || {
            kept(&namespace).await.is_none().then_some(())
        })
        .await;
        process.stop();
    });
}
