//! What is in dashboard.json and in alerts.yaml.

use regex::{Captures, Regex};
use serde_json::Value;

use crate::testbed::programs::repository;

/// The dashboard.
pub(super) struct Board {
    pub(super) json: Value,
    pub(super) panels: Vec<Panel>,
    pub(super) variables: Vec<Variable>,
    pub(super) annotations: Vec<Annotation>,
}

/// A panel that asks something; a row is none.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) targets: Vec<Target>,
    json: Value,
}

/// A query of a panel.
pub(super) struct Target {
    pub(super) id: String,
    pub(super) query: String,
    pub(super) legend: String,
}

/// Something to choose at the top.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) query: String,
}

/// Moments that are marked in all panels.
pub(super) struct Annotation {
    pub(super) name: String,
    pub(super) query: String,
    /// Its title and its text.
    pub(super) text: String,
}

/// A file of a chart, as it is installed.
fn read(chart: &str, name: &str) -> String {
    let files = repository().join("charts").join(chart).join("files");
    std::fs::read_to_string(files.join(name)).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Board {
    pub(super) fn read() -> Self {
        Self::of("postgres-adapter")
    }

    /// That of a chart.
    pub(super) fn of(chart: &str) -> Self {
        let json: Value = serde_json::from_str(&read(chart, "dashboard.json")).unwrap();
        let panels = list(&json["panels"])
            .iter()
            .filter(|it| it["type"] != "row");
        let variables = list(&json["templating"]["list"]).iter();
        let annotations = list(&json["annotations"]["list"]).iter();
        let annotation = |it: &Value| Annotation {
            name: text(&it["name"]),
            query: text(&it["expr"]),
            text: text(&it["titleFormat"]) + &text(&it["textFormat"]),
        };
        Self {
            panels: panels.map(Panel::of).collect(),
            variables: variables
                .filter(|it| it["type"] == "query")
                .map(|it| Variable {
                    name: text(&it["name"]),
                    query: text(&it["query"]["query"]),
                })
                .collect(),
            annotations: annotations.map(annotation).collect(),
            json: json.clone(),
        }
    }

    pub(super) fn panel(&self, title: &str) -> &Panel {
        let found = self.panels.iter().find(|it| it.title == title);
        found.unwrap_or_else(|| panic!("no panel {title}"))
    }
}

impl Panel {
    fn of(json: &Value) -> Self {
        let target = |it: &Value| Target {
            id: text(&it["refId"]),
            query: text(&it["expr"]),
            legend: text(&it["legendFormat"]),
        };
        Self {
            title: text(&json["title"]),
            kind: text(&json["type"]),
            targets: list(&json["targets"]).iter().map(target).collect(),
            json: json.clone(),
        }
    }

    fn organized(&self) -> &Value {
        let mut all = list(&self.json["transformations"]).iter();
        let organize = all.find(|it| it["id"] == "organize");
        &organize.expect("a table says its columns")["options"]
    }

    /// The columns that it takes, by the names that they come with.
    pub(super) fn columns(&self) -> Vec<String> {
        let columns = self.organized()["indexByName"].as_object().unwrap();
        columns.keys().cloned().collect()
    }

    /// The columns as they are headed.
    pub(super) fn shown(&self) -> Vec<String> {
        let names = &self.organized()["renameByName"];
        let name = |it: String| names[&it].as_str().map_or(it, str::to_owned);
        self.columns().into_iter().map(name).collect()
    }

    /// The headings that colours, units and the order speak of.
    pub(super) fn named(&self) -> Vec<String> {
        let overrides = list(&self.json["fieldConfig"]["overrides"]).iter();
        let overrides = overrides.map(|it| text(&it["matcher"]["options"]));
        let sorted = list(&self.json["options"]["sortBy"]).iter();
        let sorted = sorted.map(|it| text(&it["displayName"]));
        overrides.chain(sorted).collect()
    }
}

/// What is chosen at the top, and what Grafana puts into queries by itself.
#[derive(Clone, Debug)]
pub(super) struct Choice(Vec<(String, String)>);

impl Choice {
    /// "All" everywhere.
    pub(super) fn all(board: &Board) -> Self {
        let all = board.variables.iter();
        let all = all.map(|it| (it.name.clone(), ".*".to_owned()));
        let own = [
            ("__rate_interval", "1m"),
            ("__interval", "15s"),
            ("__range", "24h"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(all.chain(own).collect())
    }

    /// One value chosen, escaped as Grafana does within a label matcher.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut chosen = self.0.clone();
        let place = chosen.iter_mut().find(|(it, _)| it == name);
        let escaped = regex::escape(value).replace('\\', "\\\\");
        place.unwrap_or_else(|| panic!("no variable {name}")).1 = escaped;
        Self(chosen)
    }

    /// The query as Prometheus gets it.
    pub(super) fn apply(&self, query: &str) -> String {
        let variable = Regex::new(r"\$(?:(\w+)|\{(\w+)\})").unwrap();
        let put = |found: &Captures<'_>| {
            let name = found.get(1).or(found.get(2)).unwrap().as_str();
            let chosen = self.0.iter().find(|(it, _)| it == name);
            chosen
                .unwrap_or_else(|| panic!("no variable {name}: {query}"))
                .1
                .clone()
        };
        variable.replace_all(query, put).into_owned()
    }
}

/// The alerts and recordings by name.
pub(super) fn alerts() -> Vec<(String, String)> {
    let yaml: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read("postgres-adapter", "alerts.yaml")).unwrap();
    let groups = yaml["groups"].as_sequence().unwrap().iter();
    let rules = groups.flat_map(|it| it["rules"].as_sequence().unwrap());
    let text = |it: &serde_yaml_ng::Value| it.as_str().map(str::to_owned);
    rules
        .map(|it| {
            let name = text(&it["alert"]).or_else(|| text(&it["record"]));
            (name.unwrap(), text(&it["expr"]).unwrap())
        })
        .collect()
}
