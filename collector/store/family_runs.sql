-- The runs of a family. (The second column is there to be like conversations.sql.)
SELECT DISTINCT run, '' FROM entries WHERE project = {project:String} AND family = {family:UUID}
