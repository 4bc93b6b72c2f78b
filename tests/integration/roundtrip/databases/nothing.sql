-- An empty database.

--@ changed
CREATE TABLE t (a int);

--@ stays
DROP TABLE t;
