-- What a bad afternoon looks like.
DELETE FROM shop.orders WHERE id % 3 = 0;
UPDATE shop.customers SET name = 'nobody', profile = NULL;
DROP TABLE shop.measurements;
DROP TABLE shop.documents, shop.journal CASCADE;
SELECT setval('shop.invoices', 1);
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
