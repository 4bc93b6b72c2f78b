//! Whether a table of the target may have rows, asked of the catalogue and never of the table: whoever plans a query
//! of a table evaluates what its owner has written into its indexes, with his own rights.

/// The names, as `shown`, of those tables that may have rows, or whose partitions may: there are pages. Those of rows that
/// DELETE has taken out are there until VACUUM. What is stored otherwise than PostgreSQL's own tables may have rows
/// without any. `tables` gives `oid` and `shown`; others are not opened (`OFFSET 0` keeps the
/// planner from it), which somebody may have locked.
pub(super) fn which_may_have_rows(tables: &str) -> String {
    format!(
        "WITH c AS MATERIALIZED ({tables})
         SELECT shown FROM c
          WHERE EXISTS (SELECT FROM (SELECT p.oid, a.amname
                                       FROM (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid)) t
                                       JOIN pg_class p ON p.oid = t.oid LEFT JOIN pg_am a ON a.oid = p.relam
                                      WHERE p.relkind IN ('r', 'm') OFFSET 0) p
                         WHERE p.amname IS DISTINCT FROM 'heap' OR pg_relation_size(p.oid) > 0)
          ORDER BY 1"
    )
}
