-- Privileges of a role that the target lacks.
CREATE ROLE lost_role;
CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, word text);
INSERT INTO app.t VALUES (1, 'one');
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT lo_from_bytea(4711, 'a');
GRANT USAGE ON SCHEMA app TO lost_role, reader;
GRANT SELECT ON app.t TO lost_role, reader;
GRANT UPDATE (word) ON app.t TO lost_role;
GRANT EXECUTE ON FUNCTION app.f() TO lost_role WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 4711 TO lost_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO lost_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader;
GRANT CONNECT ON DATABASE :"DBNAME" TO lost_role;
GRANT CONNECT ON DATABASE :"DBNAME" TO reader;
ALTER ROLE lost_role IN DATABASE :"DBNAME" SET work_mem = '8MB';

--@ lacking
DROP OWNED BY lost_role;
DROP ROLE lost_role;
