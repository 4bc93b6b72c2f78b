-- A table that has become a part of an extension cannot be dropped, and is named.
CREATE EXTENSION hstore;
CREATE TABLE adopted (a int);
INSERT INTO adopted VALUES (1);

--@ changed
ALTER EXTENSION hstore ADD TABLE adopted;
