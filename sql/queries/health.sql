-- name: is_migrated()^
-- Whether any migration was ever applied here.
SELECT to_regclass('_yoyo_migration') IS NOT NULL AS yes;

-- name: find_newest_migration()^
-- The last migration that this database has applied.
SELECT migration_id
FROM _yoyo_migration
ORDER BY migration_id DESC
LIMIT 1;
