//! BackupSchedule `verify`: the newest backup is proved by restoring it.

use kube::api::{DynamicObject, Patch, PatchParams};
use scheduler::metrics::{Metrics, Shown};
use serde_json::{Value, json};

use super::super::served;
use super::{LEDGER, Nightly};
use crate::cluster::eventually;

impl Nightly {
    async fn verify(&self, how: Value) {
        self.change(json!({"verify": how})).await;
    }

    /// Has the newest backup verified now.
    async fn ask(&self, value: &str) {
        let asking = json!({"metadata": {"annotations": {"dbtether.io/verify": value}}});
        self.scene.change("BackupSchedule", "s", asking).await;
    }

    /// The status as soon as the condition `Verified` is so, with this reason.
    async fn verified(&self, is: &str, reason: &str) -> Value {
        let doing = format!("it is verified: {is}, {reason}");
        eventually(&doing, async || {
            let status = self.scene.status("BackupSchedule", "s").await;
            let all = status["conditions"].as_array()?.iter();
            let mut all = all.filter(|it| it["type"] == "Verified");
            let it = all.next()?;
            (it["status"] == is && it["reason"] == reason).then_some(status)
        })
        .await
    }

    /// The value of a metric of the schedule.
    fn metric(&self, name: &str) -> Option<f64> {
        let metrics = Metrics::new().unwrap();
        metrics.leads(true);
        let shown = || Shown {
            schedules: Vec::new(),
            runs: Vec::new(),
            under_way: Vec::new(),
            objects: None,
            verifications: LEDGER.get().unwrap().verifications(),
        };
        let text = metrics.text(shown).unwrap();
        let schedule = format!("schedule=\"{}/s\"", self.scene.stage.namespace.name);
        let name = format!("postgres_adapter_schedule_{name}{{");
        let mut lines = text.lines();
        let line = lines.find(|it| it.starts_with(&name) && it.contains(&schedule))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a metric has this value: it is told after the status.
    async fn shows(&self, name: &str, value: f64) {
        eventually(name, async || {
            (self.metric(name) == Some(value)).then_some(())
        })
        .await;
    }

    /// Makes what is stored otherwise than what it says of itself.
    fn damage(&self, backup: &DynamicObject) {
        let path = backup.data["status"]["path"].as_str().unwrap();
        let key = format!("{path}/manifest.json");
        let s3 = &self.scene.s3;
        let mut told: Value = serde_json::from_slice(&s3.read(&key)).unwrap();
        for stream in told["streams"].as_array_mut().unwrap() {
            let rows = stream.get_mut("rows").and_then(Value::as_array_mut);
            rows.into_iter().flatten().for_each(|it| *it = 7.into());
        }
        s3.put(&key, told.to_string().as_bytes());
    }
}

impl Nightly {
    fn on_cluster(&self) -> Value {
        json!({
            "schedule": "0 0 1 1 *", "clusterRef": {"name": self.scene.stage.cluster},
            "sql": ["SELECT count(*) = 1 FROM t", "SELECT a FROM t"],
        })
    }

    /// Who asks for it has its first backup verified as soon as there is one.
    async fn passes(&self) -> (DynamicObject, Value) {
        let scene = &self.scene;
        self.change(json!({"format": "archive"})).await;
        self.verify(self.on_cluster()).await;
        self.ask("1").await;
        let waits = self.verified("Unknown", "NoBackup").await;
        assert!(waits["verification"]["waitingSince"].is_string(), "{waits}");
        let (made, done) = self.first().await;
        let passed = self.verified("True", "Passed").await["verification"].clone();
        assert_eq!(passed["result"], "Passed");
        assert!(passed["waitingSince"].is_null(), "{passed}");
        assert_eq!([&passed["tables"], &passed["rows"]], [1, 1]);
        assert_eq!(passed["backup"], made.metadata.name.clone().unwrap());
        assert_eq!(passed["path"], done["path"]);
        let said = passed["message"].as_str().unwrap();
        assert!(said.starts_with("restore drill passed: "), "{said}");
        let name = passed["backup"].as_str().unwrap();
        let backup = scene.status("Backup", name).await;
        assert_eq!(backup["verifiedAt"], passed["lastVerifiedAt"]);
        (self.backups.get(name).await.unwrap(), passed)
    }

    /// Its time comes, and what is stored is not what it says of itself.
    async fn fails(&self, made: &DynamicObject, passed: &Value) -> Value {
        self.damage(made);
        let long_ago = json!({"verification": {
            "followedSince": "2024-06-01T00:00:00Z", "lastScheduleTime": null,
        }});
        let scene = &self.scene;
        scene.set_status("BackupSchedule", "s", long_ago).await;
        self.look().await;
        let failed = self.verified("False", "NotAsDumped").await["verification"].clone();
        let due = failed["lastScheduleTime"].as_str().unwrap();
        assert!(due.ends_with("-01-01T00:00:00Z"), "{due}");
        let said = failed["message"].as_str().unwrap();
        assert!(said.contains("has 1 rows, and 7 were dumped"), "{said}");
        assert_eq!(failed["lastVerifiedAt"], passed["lastVerifiedAt"]);
        assert_ne!(failed["run"], passed["run"]);
        for reason in [
            "Verified: restore drill passed",
            "VerificationFailed: restore drill failed",
        ] {
            eventually(reason, async || {
                let events = scene.stage.events("s").await;
                events.iter().any(|it| it.starts_with(reason)).then_some(())
            })
            .await;
        }
        failed
    }

    /// An image is the administrator's to permit, and needs Kubernetes.
    async fn refuses_images(&self) {
        let scene = &self.scene;
        let image = json!({"clusterRef": null, "image": "postgres:17"});
        self.verify(image).await;
        self.ask("2").await;
        let refused = self.verified("False", "NotAllowed").await;
        let said = refused["verification"]["message"].as_str().unwrap();
        assert!(said.contains("verifyImages"), "{said}");
        let permitted = json!({"spec": {"verifyImages": ["postgres:*"]}});
        scene
            .change("BackupStorage", &scene.storage, permitted)
            .await;
        scene.phase("BackupStorage", &scene.storage, "Ready").await;
        self.ask("3").await;
        // What looks at it twice at a time tells twice that it begins.
        eventually("it says that there are no containers", async || {
            let refused = self.verified("False", "NotBegun").await;
            let said = refused["verification"]["message"].as_str()?;
            said.contains("there are no containers").then_some(())
        })
        .await;
        let both = json!({"spec": {"verify": self.on_cluster()}});
        let (api, _) = scene.api("BackupSchedule");
        let params = PatchParams::default();
        let both = api.patch("s", &params, &Patch::Merge(both)).await;
        let said = both.unwrap_err().to_string();
        assert!(
            said.contains("exactly one of clusterRef and image"),
            "{said}"
        );
    }
}

/// Issue 14, section 3: it waits for a backup, passes, fails where the backup is not what it says, has one drill for
/// each time and each wish, and is told by status, condition, events and metrics.
#[test]
fn a_schedule_proves_its_newest_backup_and_says_what_came_of_it() {
    served().within(async |namespace| {
        let nightly = Nightly::new(namespace).await;
        let scene = &nightly.scene;
        let (made, passed) = nightly.passes().await;
        nightly.shows("last_verification_succeeded", 1.0).await;
        let last = nightly.metric("last_verified_timestamp_seconds");
        assert!(last > Some(1e9), "{last:?}");
        let failed = nightly.fails(&made, &passed).await;
        nightly.shows("last_verification_succeeded", 0.0).await;
        assert_eq!(nightly.metric("last_verified_timestamp_seconds"), last);
        // Neither a look nor a rest makes another drill of the same time or wish.
        nightly.look().await;
        nightly.change(json!({"suspend": true})).await;
        scene.phase("BackupSchedule", "s", "Suspended").await;
        nightly.change(json!({"suspend": false})).await;
        scene.phase("BackupSchedule", "s", "Active").await;
        let same = scene.status("BackupSchedule", "s").await;
        assert_eq!(same["verification"]["run"], failed["run"]);
        nightly.refuses_images().await;
        // Who does not want it any more is told nothing of it.
        nightly.change(json!({"verify": null})).await;
        eventually("it says nothing of it", async || {
            let status = scene.status("BackupSchedule", "s").await;
            let shown = nightly.metric("last_verified_timestamp_seconds");
            (status["verification"].is_null() && shown.is_none()).then_some(())
        })
        .await;
    });
}
