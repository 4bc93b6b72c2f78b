-- A function and a view that act with the rights of a role that the target lacks: they would have the restorer's, a superuser's.
CREATE ROLE lost_definer;
CREATE TABLE t (a int);
GRANT SELECT ON t TO lost_definer;
CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
ALTER FUNCTION definer() OWNER TO lost_definer;
CREATE VIEW acts_for_owner AS SELECT * FROM t;
ALTER VIEW acts_for_owner OWNER TO lost_definer;

--@ lacking
REASSIGN OWNED BY lost_definer TO postgres;
DROP OWNED BY lost_definer;
DROP ROLE lost_definer;
