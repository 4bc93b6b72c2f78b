-- A sequence that a known table has come to own would go with it, and is named.
CREATE TABLE t (id int PRIMARY KEY);

--@ changed
CREATE SEQUENCE invoice_numbers START 2026001;
SELECT nextval('invoice_numbers');
ALTER SEQUENCE invoice_numbers OWNED BY t.id;
