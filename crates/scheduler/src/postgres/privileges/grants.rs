//! What is granted and revoked: on schemas, on what is in them, and on what will be.

use std::collections::{BTreeMap, BTreeSet};

use backuper::text::sql::quote;

use super::catalogue::{Default, Found, Item, PUBLIC, Relation};
use super::difference::{Difference, Reached};
use super::{Kind, Plan, Preset, Problem, Wanted};
use crate::postgres::statement::{Statement, listed};

pub(super) fn on_schemas<'a>(
    wanted: &Wanted,
    found: &'a Found,
    reached: &mut Reached<'a>,
    plan: &mut Plan,
) {
    for schema in &found.schemas {
        let name = quote(&schema.name);
        let of_public = public(&schema.acl);
        if of_public.contains("CREATE") {
            if !wanted.public_may_create && reached.may_act_for(schema.owner) {
                let sql = format!("REVOKE CREATE ON SCHEMA {name} FROM PUBLIC");
                plan.grants.push(Statement::new(sql));
            } else if !wanted.preset.on_schemas().contains("CREATE") {
                plan.problems.push(Problem {
                    kind: Kind::Public,
                    sentence: format!(
                        "everybody may create in schema {}, so role {} may too: as role {}, run REVOKE CREATE ON SCHEMA {name} FROM PUBLIC",
                        schema.name,
                        wanted.role,
                        reached.name(schema.owner)
                    ),
                });
            }
        }
        if schema.owner == found.role {
            continue;
        }
        let mut difference = Difference::of(
            &wanted.preset.on_schemas(),
            &schema.acl,
            schema.owner,
            found.role,
        );
        report_others(
            &difference,
            &format!("schema {}", schema.name),
            reached,
            plan,
        );
        if difference.is_empty() {
            continue;
        }
        if reached.may_act_for(schema.owner) {
            plan.grants
                .extend(difference.statements("", &format!("SCHEMA {name}"), &wanted.role));
            continue;
        }
        // What everybody may do the role may do.
        difference
            .grant
            .retain(|it| !of_public.contains(it.as_str()));
        if !difference.is_empty() {
            reached.leave(schema.owner, format!("schema {}", schema.name));
        }
    }
}

pub(super) fn on_relations<'a>(
    wanted: &Wanted,
    found: &'a Found,
    reached: &mut Reached<'a>,
    plan: &mut Plan,
) {
    let additional = additional(wanted, found, plan);
    let mut beyond = Vec::new();
    for relation in &found.relations {
        let mut privileges = of_kind(wanted.preset, relation.kind);
        if let Some(more) = additional.get(&(&relation.schema, &relation.name)) {
            privileges.extend(more);
        }
        if !relation.of_extension {
            let of_public = public(&relation.acl);
            if of_public.iter().any(|it| !privileges.contains(it)) {
                beyond.push(relation.name.as_str());
            }
        }
        on_relation(wanted, &privileges, relation, (found, reached, plan));
    }
    if !beyond.is_empty() {
        plan.problems.push(Problem {
            kind: Kind::Public,
            sentence: format!(
                "everybody may do more than role {} with {}: revoke it from PUBLIC, and grant it to those who need it",
                wanted.role,
                listed(&beyond)
            ),
        });
    }
}

fn on_relation<'a>(
    wanted: &Wanted,
    privileges: &BTreeSet<&str>,
    relation: &'a Relation,
    (found, reached, plan): (&'a Found, &mut Reached<'a>, &mut Plan),
) {
    let shown = format!("{}.{}", relation.schema, relation.name);
    let (owner, acl): (u32, &[Item]) = if relation.owner != found.role {
        (relation.owner, &relation.acl)
    } else if wanted.preset.may_own() {
        return;
    } else if let Some(owner) = found.owner_role {
        // It is given up first, and nothing of what its old owner could do stays.
        (owner, &[])
    } else {
        reached.leave(found.role, shown);
        return;
    };
    let mut difference = Difference::of(privileges, acl, owner, found.role);
    // A privilege on a table that is revoked goes for its columns too; one that stays makes no odds.
    for column in &relation.columns {
        if !privileges.contains(column.as_str()) && !difference.revoke.contains(column) {
            difference.revoke.push(column.clone());
        }
    }
    report_others(&difference, &shown, reached, plan);
    if difference.is_empty() {
        return;
    }
    if reached.may_act_for(owner) {
        let kind = if relation.kind == 'S' {
            "SEQUENCE"
        } else {
            "TABLE"
        };
        let on = format!(
            "{kind} {}.{}",
            quote(&relation.schema),
            quote(&relation.name)
        );
        let statements = difference.statements("", &on, &wanted.role);
        plan.grants.extend(statements);
        return;
    }
    let of_public = public(&relation.acl);
    difference
        .grant
        .retain(|it| !of_public.contains(it.as_str()));
    // Its extension's script has given what it means to give.
    if !difference.is_empty() && !relation.of_extension {
        reached.leave(owner, shown);
    }
}

pub(super) fn by_default<'a>(
    wanted: &Wanted,
    found: &'a Found,
    reached: &mut Reached<'a>,
    plan: &mut Plan,
) {
    let mut creators = found.creators.clone();
    // Nobody logs in as the owner role, so nothing is created as it: it only gets what users leave.
    if let Some(owner_role) = found.owner_role {
        creators.remove(&owner_role);
    }
    let lasting = creators.clone();
    creators.extend(found.defaults.iter().map(|it| it.creator));
    for creator in creators {
        let named = reached.name(creator).to_owned();
        let before = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {} ", quote(&named));
        let mut statements = Vec::new();
        for (kind, on) in [('r', "TABLES"), ('S', "SEQUENCES")] {
            let privileges = of_kind(wanted.preset, kind);
            let find = |schema: Option<&str>| -> &'a [Item] {
                let is = |it: &&'a Default| {
                    it.creator == creator && it.kind == kind && it.schema.as_deref() == schema
                };
                found.defaults.iter().find(is).map_or(&[], |it| &it.acl)
            };
            // Those for all schemas add to those of each: what is beyond the preset goes, the rest may stay.
            let mut everywhere = Difference::of(&privileges, find(None), creator, found.role);
            everywhere.grant.clear();
            statements.extend(everywhere.statements(&before, on, &wanted.role));
            for schema in &found.schemas {
                let has = find(Some(&schema.name));
                let mut difference = Difference::of(&privileges, has, creator, found.role);
                if !lasting.contains(&creator) {
                    difference.grant.clear();
                }
                let before = format!("{before}IN SCHEMA {} ", quote(&schema.name));
                statements.extend(difference.statements(&before, on, &wanted.role));
            }
        }
        if statements.is_empty() {
            continue;
        }
        if reached.may_act_for(creator) {
            plan.grants.extend(statements);
        } else {
            reached.leave(creator, format!("what role {named} will create"));
        }
    }
}

fn of_kind(preset: Preset, kind: char) -> BTreeSet<&'static str> {
    match kind {
        'S' => preset.on_sequences(),
        _ => preset.on_tables(),
    }
}

/// The additional grants by what they are on, the first of that name in the schemas' order.
fn additional<'a>(
    wanted: &Wanted,
    found: &'a Found,
    plan: &mut Plan,
) -> BTreeMap<(&'a String, &'a String), BTreeSet<&'static str>> {
    let mut additional: BTreeMap<_, BTreeSet<&'static str>> = BTreeMap::new();
    for grant in &wanted.grants {
        for table in &grant.tables {
            let of_schema = |schema: &String| {
                let mut relations = found.relations.iter();
                relations.find(|it| it.schema == *schema && it.name == *table)
            };
            let Some(relation) = wanted.schemas.iter().find_map(of_schema) else {
                plan.problems.push(Problem {
                    kind: Kind::NoTable,
                    sentence: format!(
                        "table {table} of the additional grants does not exist in {}: create it, or take it out",
                        listed(&wanted.schemas)
                    ),
                });
                continue;
            };
            for privilege in &grant.privileges {
                let privilege = privilege.as_str();
                let possible = match relation.kind {
                    'S' => ["SELECT", "UPDATE", "USAGE"].contains(&privilege),
                    _ => privilege != "USAGE",
                };
                if possible {
                    let key = (&relation.schema, &relation.name);
                    additional.entry(key).or_default().insert(privilege);
                } else {
                    plan.problems.push(missing(format!(
                        "{privilege} of the additional grants is no privilege that {table} can have: take it out"
                    )));
                }
            }
        }
    }
    additional
}

fn missing(sentence: String) -> Problem {
    Problem {
        kind: Kind::Missing,
        sentence,
    }
}

fn public(acl: &[Item]) -> BTreeSet<&str> {
    let of_public = acl.iter().filter(|it| it.grantee == PUBLIC);
    of_public.map(|it| it.privilege.as_str()).collect()
}

fn report_others(difference: &Difference, what: &str, reached: &Reached<'_>, plan: &mut Plan) {
    for grantor in &difference.of_others {
        plan.problems.push(Problem {
            kind: Kind::Beyond,
            sentence: format!(
                "role {} has granted more on {what} than the user should have, and it alone can revoke that",
                reached.name(*grantor)
            ),
        });
    }
}
