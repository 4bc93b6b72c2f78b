-- A table was renamed, and its key has its old name: the table of the backup cannot come back beside it.
CREATE TABLE orders (id serial PRIMARY KEY, word text);
INSERT INTO orders (word) VALUES ('one');

--@ changed
ALTER TABLE orders RENAME TO orders_2026;
CREATE VIEW orders AS SELECT * FROM orders_2026;
