-- A collation by a locale that the target's system lacks.
CREATE COLLATION from_afar (locale = 'C');
CREATE TABLE t (word text COLLATE from_afar);
INSERT INTO t VALUES ('one');
SET allow_system_table_mods = on;
UPDATE pg_collation SET collcollate = 'xx_YY.utf8', collctype = 'xx_YY.utf8' WHERE collname = 'from_afar';
