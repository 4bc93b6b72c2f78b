//! docs/manifest.schema.json is true of the manifests that the backuper writes.
//!
//! A check of one's own for the words of JSON Schema that ours uses; a word that it does not know
//! fails, so that none is passed over.

use backuper::archive::manifest::{Compression, Content, Stream};
use regex::Regex;
use serde_json::Value;

use super::testbed::postgres;
use super::testbed::programs::{backuper, repository};
use super::testbed::s3::S3;

fn schema() -> Value {
    let path = repository().join("docs/manifest.schema.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What is wrong with a value, by the place where it is.
pub(crate) fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        let good = match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix('#').unwrap();
                wrong.extend(check(root, root.pointer(name).unwrap(), value, at));
                true
            }
            "properties" => {
                for (name, inner) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        wrong.extend(check(root, inner, value, &format!("{at}/{name}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let named = schema["properties"].as_object();
                let more = value.as_object().into_iter().flatten();
                for (name, value) in
                    more.filter(|(it, _)| named.is_none_or(|all| !all.contains_key(*it)))
                {
                    match rule {
                        Value::Bool(false) => wrong.push(format!("{at}: {name} is not known")),
                        rule => wrong.extend(check(root, rule, value, &format!("{at}/{name}"))),
                    }
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(check(root, rule, value, &format!("{at}/{index}")));
                }
                true
            }
            _ => holds(word, rule, value),
        };
        if !good {
            wrong.push(format!("{at}: {word} {rule}, and it is {value}"));
        }
    }
    wrong
}

/// Whether a rule holds that looks at one value alone.
fn holds(word: &str, rule: &Value, value: &Value) -> bool {
    let number = |it: &Value| it.as_u64().unwrap();
    match word {
        "type" if rule.is_array() => {
            let mut all = rule.as_array().unwrap().iter();
            all.any(|it| holds(word, it, value))
        }
        "type" => match rule.as_str().unwrap() {
            "null" => value.is_null(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            other => panic!("the type {other} is not known here"),
        },
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "required" => {
            let names = rule.as_array().unwrap();
            names
                .iter()
                .all(|it| value.get(it.as_str().unwrap()).is_some())
        }
        "minimum" => !value.is_number() || value.as_u64().is_some_and(|it| it >= number(rule)),
        "maximum" => value.as_u64().is_some_and(|it| it <= number(rule)),
        "minItems" => value
            .as_array()
            .is_some_and(|it| it.len() as u64 >= number(rule)),
        "minLength" => value
            .as_str()
            .is_some_and(|it| it.chars().count() as u64 >= number(rule)),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
            value.as_str().is_some_and(|it| pattern.is_match(it))
        }
        _ => panic!("{word} is not known here"),
    }
}

#[test]
fn a_real_manifest_is_as_the_schema_says_and_a_changed_one_is_not() {
    let database = postgres::shared().database("schema ü/");
    database
        .sql("CREATE EXTENSION hstore; CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    let s3 = S3::start();
    let mut env = database.env();
    env.extend(s3.env());
    backuper(&env).run().expect_code(0);
    let manifests = s3.manifests();
    let manifest: Value = serde_json::from_slice(&s3.read(&manifests[0])).unwrap();
    let schema = schema();
    assert_eq!(check(&schema, &schema, &manifest, ""), Vec::<String>::new());

    for (pointer, value) in [
        ("/format_version", Value::from(5)),
        ("/snapshot_at", Value::from("yesterday")),
        ("/source/port", Value::from(0)),
        ("/source/system_identifier", Value::from(7)),
        ("/source/locale/provider", Value::from("magic")),
        ("/streams", Value::Array(Vec::new())),
        ("/streams/0/sha256", Value::from("0")),
        ("/streams/0/content", Value::Null),
    ] {
        let mut changed = manifest.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let wrong = check(&schema, &schema, &changed, "");
        assert!(!wrong.is_empty(), "{pointer}");
    }
}

#[test]
fn every_field_of_a_manifest_stands_in_the_schema() {
    let sample = sample();
    let schema = schema();
    let mut missing = Vec::new();
    known(&schema, &schema, &sample, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(check(&schema, &schema, &sample, ""), Vec::<String>::new());
}

/// Collects the fields that the schema does not name.
fn known(root: &Value, schema: &Value, value: &Value, at: &str, missing: &mut Vec<String>) {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(&name[1..]).unwrap(),
        None => schema,
    };
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema.get("properties").and_then(|it| it.get(name)) {
            Some(schema) => known(root, schema, inner, &format!("{at}/{name}"), missing),
            None => missing.push(format!("{at}/{name}")),
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            known(root, items, inner, at, missing);
        }
    }
}

/// A manifest with every optional field in it.
fn sample() -> Value {
    use backuper::archive::manifest::{
        Encryption, Extension, FORMAT_VERSION, Globals, Locale, Manifest, Method, Part, Source,
        Tools,
    };
    let at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let text = |it: &str| it.to_owned();
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        source: Source {
            host: text("db"),
            port: 5432,
            database: text("app"),
            system_identifier: Some(u64::MAX.into()),
            server_version: text("17.1"),
            server_version_num: 170_001,
            encoding: text("UTF8"),
            locale: Locale {
                provider: text("icu"),
                collate: text("C"),
                ctype: text("C"),
                locale: Some(text("de-DE")),
                icu_rules: Some(text("&a < b")),
            },
            extensions: vec![Extension {
                name: text("hstore"),
                version: text("1.8"),
            }],
            size_bytes: 1,
            superusers: Some(vec!["postgres".to_owned()]),
        },
        snapshot_at: at,
        started_at: at,
        finished_at: at,
        tools: Tools {
            backuper: text("0.1.0"),
            pg_dump: text("17.1"),
            zstd: text("1.5.7"),
        },
        encryption: Some(Encryption {
            method: Method::Age,
            recipients: vec![text("age1ql3z7hjy54pw…")],
            hidden: Some(text("YWdl")),
        }),
        part: Some(Part {
            include_schemas: vec![text("shop")],
            exclude_schemas: vec![text("secret")],
            include_tables: vec![text("shop.*")],
            exclude_tables: vec![text("shop.log")],
            exclude_table_data: vec![text("shop.big")],
            without_rows: vec![text("shop.big")],
        }),
        streams: vec![stream("schema.dump", Content::Schema, &["public.t"])],
        globals: Some(Globals {
            object: stream("globals.sql.zst", Content::Globals, &[]),
            passwords: true,
        }),
    };
    serde_json::to_value(manifest).unwrap()
}

fn stream(name: &str, content: Content, tables: &[&str]) -> Stream {
    Stream {
        name: name.to_owned(),
        key: format!("app/x/{name}"),
        content,
        compression: Compression::Zstd,
        raw_bytes: 1,
        stored_bytes: 1,
        sha256: "0".repeat(64),
        tables: tables.iter().map(|&it| it.to_owned()).collect(),
        rows: tables.iter().map(|_| Some(3)).collect(),
    }
}
