//! Whether a table of the target may have rows, asked of the catalogue and never of the table: whoever plans a query
//! of a table evaluates what its owner has written into its indexes, with his own rights.

/// Of the relation `c`, or of its partitions: whether there are pages. Those of rows that DELETE has taken out are
/// there until VACUUM. What is stored otherwise than PostgreSQL's own tables may have rows without any.
pub(super) const MAY_HAVE_ROWS: &str = "
    EXISTS (SELECT FROM pg_class p LEFT JOIN pg_am a ON a.oid = p.relam
             WHERE p.oid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid))
               AND p.relkind IN ('r', 'm') AND (pg_relation_size(p.oid) > 0 OR a.amname IS DISTINCT FROM 'heap'))";
