//! Who owns what is in the schemas: an owner gets what it does not have yet, and a user who may not own
//! anything gives up what it has.

use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::catalogue::{Found, Relation};
use super::difference::Reached;
use super::{Preset, Wanted};
use crate::postgres::failure::Error;
use crate::postgres::membership::Reach;
use crate::postgres::statement::{Statement, execute_together};

/// An object that may change its owner.
struct Owned<'a> {
    sql: String,
    shown: String,
    schema: &'a str,
    owner: u32,
    definer: bool,
}

/// Gives the owner role what a user owns who may not.
pub(super) fn give_up<'a>(
    wanted: &Wanted,
    found: &'a Found,
    reached: &mut Reached<'a>,
) -> Vec<Statement> {
    if wanted.preset.may_own() {
        return Vec::new();
    }
    let mut statements = Vec::new();
    for object in owned(found).filter(|it| it.owner == found.role) {
        // Its rights would become the owner role's, which may have more.
        if object.definer {
            reached.keep(object.shown);
            continue;
        }
        // The caller makes it before.
        let Some(owner_role) = found.owner_role else {
            reached.leave(found.role, object.shown);
            continue;
        };
        if !reached.may_act_for(found.role) {
            reached.leave(found.role, object.shown);
        } else if !reached.may_act_for(owner_role) {
            reached.leave(owner_role, object.shown);
        } else {
            reached.open(object.schema);
            statements.push(object.to(&wanted.owner_role));
        }
    }
    statements
}

/// Gives an owner what it does not own yet.
pub(super) fn take_over<'a>(
    wanted: &Wanted,
    found: &'a Found,
    reached: &mut Reached<'a>,
) -> Vec<Statement> {
    if wanted.preset != Preset::Owner {
        return Vec::new();
    }
    let mut statements = Vec::new();
    for object in owned(found).filter(|it| it.owner != found.role) {
        // What runs with another user's rights must not run with more of them; ours are more than any user's.
        let is_of_us = reached.name(object.owner) == found.us.name || is_above(found, object.owner);
        if object.definer && !is_of_us {
            reached.keep(object.shown);
        } else if !reached.may_act_for(object.owner) {
            reached.leave(object.owner, object.shown);
        } else if !reached.may_act_for(found.role) {
            reached.leave(found.role, object.shown);
        } else {
            statements.push(object.to(&wanted.role));
        }
    }
    statements
}

/// Whether a role is the cluster's own superuser.
fn is_above(found: &Found, role: u32) -> bool {
    let usable = found
        .roles
        .get(&role)
        .is_some_and(|it| it.reach == Reach::Usable);
    role == 10 && usable
}

fn owned(found: &Found) -> impl Iterator<Item = Owned<'_>> {
    let relations = found.relations.iter();
    let relations = relations.filter(|it| !it.of_extension && !it.of_column);
    let relations = relations.map(|it| Owned {
        sql: format!("{} {}.{}", kind(it), quote(&it.schema), quote(&it.name)),
        shown: format!("{}.{}", it.schema, it.name),
        schema: &it.schema,
        owner: it.owner,
        definer: it.definer,
    });
    let objects = found.objects.iter().map(|it| Owned {
        sql: it.sql.clone(),
        shown: it.sql.clone(),
        schema: &it.schema,
        owner: it.owner,
        definer: it.definer,
    });
    relations.chain(objects)
}

fn kind(relation: &Relation) -> &'static str {
    match relation.kind {
        'f' => "FOREIGN TABLE",
        'S' => "SEQUENCE",
        'v' => "VIEW",
        'm' => "MATERIALIZED VIEW",
        _ => "TABLE",
    }
}

impl Owned<'_> {
    fn to(&self, owner: &str) -> Statement {
        Statement::new(format!("ALTER {} OWNER TO {}", self.sql, quote(owner)))
    }
}

/// Changes owners one after the other, each waiting five seconds for who uses the object, up to the first
/// that is in use: gives how many were not tried then, that one included.
pub(super) async fn change(
    client: &Client,
    statements: &[Statement],
    failed: &mut Vec<Error>,
) -> Result<usize, Error> {
    for (index, statement) in statements.iter().enumerate() {
        let wait = Statement::new("SET LOCAL lock_timeout = '5s'");
        match execute_together(client, &[wait, statement.clone()]).await {
            Ok(()) => {}
            Err(error) if error.ends_the_session() => return Err(error),
            Err(error) => {
                let is_in_use = error.is_lock_timeout();
                failed.push(error);
                if is_in_use {
                    return Ok(statements.len() - index);
                }
            }
        }
    }
    Ok(0)
}
