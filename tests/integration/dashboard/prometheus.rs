//! A Prometheus of one's own, and questions to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;

use crate::cluster::kept_by_with;
use crate::testbed::postgres::free_port;
use crate::testbed::programs::repository;
use crate::testbed::server::{self, Server};
use crate::testbed::{block_on, folder, wait_for};

/// What a query has found.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Series {
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A server that scrapes one scheduler every second, as every job of a test.
pub(super) struct Prometheus {
    port: u16,
    _server: Server,
}

impl Prometheus {
    /// The first job has no namespace, as on one machine; the others have one.
    pub(super) fn start(scraped: u16, jobs: &[&str]) -> Self {
        let (folder, port) = (folder("prometheus"), free_port());
        let rules = repository().join("charts/postgres-adapter/files/alerts.yaml");
        let job = |(number, job): (usize, &&str)| {
            let labels = match number {
                0 => serde_json::json!({}),
                _ => serde_json::json!({"namespace": "backups"}),
            };
            let target = format!("127.0.0.1:{scraped}");
            serde_json::json!({"job_name": job, "static_configs": [{"targets": [target], "labels": labels}]})
        };
        let jobs: Vec<_> = jobs.iter().enumerate().map(job).collect();
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": jobs,
        });
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        let program = kept_by_with("prometheus.sh", &[]).join("prometheus");
        let path = folder.join("log");
        let log = std::fs::File::create(&path).unwrap();
        let mut server = server::start(None, &program, &arguments, log);
        wait_for("Prometheus answers", || {
            let log = || std::fs::read_to_string(&path).unwrap();
            assert!(!server.ended(), "Prometheus ended: {}", log());
            let url = format!("http://127.0.0.1:{port}/-/ready");
            let answer = block_on(reqwest::get(url)).ok()?;
            answer.status().is_success().then_some(())
        });
        Self {
            port,
            _server: server,
        }
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let text = block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() });
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].take()
    }

    /// What an instant query finds; a query that is an error fails.
    pub(super) fn query(&self, query: &str) -> Vec<Series> {
        let found = self.get("query", &[("query", query)]);
        let series = |it: &Value| Series {
            labels: serde_json::from_value(it["metric"].clone()).unwrap(),
            value: it["value"][1].as_str().unwrap().parse().unwrap(),
        };
        let found = found["result"].as_array().unwrap();
        found.iter().map(series).collect()
    }

    /// As [`Prometheus::query`], and it must find something once what there is has been scraped.
    #[track_caller]
    pub(super) fn answer(&self, what: &str, query: &str) -> Vec<Series> {
        let start = Instant::now();
        loop {
            let found = self.query(query);
            if !found.is_empty() {
                return found;
            }
            let late = start.elapsed() > Duration::from_secs(15);
            assert!(!late, "{what}\nfinds nothing:\n{query}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What Grafana's `label_values(SERIES, LABEL)` gives.
    pub(super) fn values(&self, query: &str) -> Vec<String> {
        let inner = query.strip_prefix("label_values(");
        let inner = inner.and_then(|it| it.strip_suffix(")")).expect(query);
        let (series, label) = inner.rsplit_once(',').expect(query);
        let path = format!("label/{}/values", label.trim());
        serde_json::from_value(self.get(&path, &[("match[]", series.trim())])).unwrap()
    }

    fn rules(&self) -> Vec<Value> {
        let found = self.get("rules", &[]);
        let groups = found["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|it| it["rules"].as_array().unwrap());
        rules.cloned().collect()
    }

    /// How the evaluation of a rule has gone: its health and its last error.
    pub(super) fn rule(&self, name: &str) -> (String, String) {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        wait_for("the rule is evaluated", || {
            let rules = self.rules();
            let rule = rules.iter().find(|it| it["name"] == name)?;
            let health = text(&rule["health"]);
            (health != "unknown").then(|| (health, text(&rule["lastError"])))
        })
    }

    /// The summaries of an alert, once it fires.
    pub(super) fn firing(&self, name: &str) -> Vec<String> {
        wait_for("the alert fires", || {
            let rules = self.rules();
            let rule = rules.iter().find(|it| it["name"] == name)?;
            let alerts = rule["alerts"].as_array()?.iter();
            let alerts = alerts.filter(|it| it["state"] == "firing");
            let summary = |it: &Value| it["annotations"]["summary"].as_str().map(str::to_owned);
            let found: Vec<_> = alerts.filter_map(summary).collect();
            (!found.is_empty()).then_some(found)
        })
    }
}
