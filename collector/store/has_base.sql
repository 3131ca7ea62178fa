-- Parts that are there of a base tree's root, and how many there should be.
SELECT toInt64(uniqExact(part)), toInt64(max(parts))
FROM bases
WHERE project = {project:String} AND root = toFixedString(unhex({root:String}), 32) AND name = root
