-- Foreign servers, with secrets that belong into the dump and into no log.
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION file_fdw;
CREATE FOREIGN DATA WRAPPER own OPTIONS (debug 'true', password 'hunter2');
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.example', dbname 'it''s', port '5433');
CREATE SERVER own_server TYPE 'kind' VERSION '1.2' FOREIGN DATA WRAPPER own OPTIONS (password 'hunter2');
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'me', password 'hunter2');
CREATE USER MAPPING FOR app SERVER far OPTIONS (user 'app', password 'hunter2');
CREATE USER MAPPING FOR CURRENT_USER SERVER own_server;
CREATE FOREIGN TABLE far_table (
    a int OPTIONS (column_name 'A') NOT NULL, b text COLLATE "C" DEFAULT 'b', CHECK (a > 0)
) SERVER far OPTIONS (schema_name 'app', table_name 'a''b');
CREATE TABLE parted (a int) PARTITION BY LIST (a);
CREATE TABLE near PARTITION OF parted FOR VALUES IN (1);
CREATE FOREIGN TABLE far_part PARTITION OF parted FOR VALUES IN (2) SERVER far;
INSERT INTO parted VALUES (1);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE passwords (line text) SERVER files OPTIONS (filename '/etc/passwd');
GRANT USAGE ON FOREIGN SERVER far TO reader;
GRANT SELECT ON far_table TO reader;
COMMENT ON FOREIGN TABLE far_table IS 'far away';

--@ changed
ALTER SERVER far OPTIONS (SET host 'changed');
ALTER USER MAPPING FOR app SERVER far OPTIONS (SET password 'changed');
DROP USER MAPPING FOR PUBLIC SERVER far;
DROP FOREIGN TABLE far_part;
ALTER FOREIGN TABLE far_table ALTER a OPTIONS (DROP column_name);
CREATE TABLE other (a int);
INSERT INTO parted VALUES (1);

--@ stays
DROP TABLE other;
