-- An extension that a superuser has made, in a database of somebody who may not write its tables: nothing to write.
CREATE EXTENSION roundtrip_trusted;
SET ROLE app;
CREATE TABLE t (id int, word text DEFAULT reference_system(1));
INSERT INTO t VALUES (1);

--@ prepared
CREATE EXTENSION roundtrip_trusted;

--@ changed
SET ROLE app;
DELETE FROM t;
