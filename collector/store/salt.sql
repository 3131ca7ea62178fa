-- The newest version: erased wins over the salt, and over one that is shipped again.
SELECT version, salt
FROM families
WHERE project = {project:String} AND family = {family:UUID}
ORDER BY version DESC
LIMIT 1
