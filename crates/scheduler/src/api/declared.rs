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
    let wrong =
        |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|it| wrong(&it))?;
    let declared: Declared = serde_yaml_ng::from_str(&text).map_err(|it| wrong(&it))?;
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
    requests.collect()
}

/// What the administrator has declared in a file, read as calls are.
///
/// # Errors
/// As [`requests`], and what a call would be refused for.
pub fn wanted(path: &Path) -> Result<Vec<Wanted>, Failure> {
    let each = requests(path)?.into_iter().map(|request| {
        let name = request.name.clone();
        let wrong =
            |why: &str| Failure::refused(format!("{}: schedule {name:?}: {why}", path.display()));
        if name.is_empty() {
            return Err(wrong("it has no name"));
        }
        requests::put(request).map_err(|violations| {
            let sentences = violations
                .iter()
                .map(|it| format!("{}: {}", it.field, it.why));
            wrong(&sentences.collect::<Vec<_>>().join("; "))
        })
    });
    let wanted: Vec<Wanted> = each.collect::<Result<_, _>>()?;
    let mut names: Vec<_> = wanted.iter().filter_map(|it| it.name.as_ref()).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|it| it[0] == it[1]) {
        let why = format!("{}: schedule {} is there twice", path.display(), twice[0]);
        return Err(Failure::refused(why));
    }
    Ok(wanted)
}
