-- The health of a PlaybackGrantRequest, for Argo CD. What the conditions mean is told in the operator's README.md.
local function condition(obj, name)
  for _, condition in ipairs(obj.status and obj.status.conditions or {}) do
    -- One of an older generation tells nothing of this one.
    if condition.type == name and (condition.observedGeneration or obj.metadata.generation) == obj.metadata.generation then
      return condition
    end
  end
  return {}
end

local function told(status, condition, otherwise)
  local message = condition.message or ""
  if condition.reason and condition.reason ~= "" then
    message = condition.reason .. ": " .. message
  end
  return {status = status, message = message ~= "" and message or otherwise}
end

local ready = condition(obj, "Ready")
local stalled = condition(obj, "Stalled")

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "The request is being deleted"}
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return told("Suspended", ready, "Refreshing is suspended")
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator hasn't seen this generation of the request yet"}
end
if stalled.status == "True" then
  return told("Degraded", stalled)
end
if ready.status == "True" then
  -- A refresh that fails under a live grant: the Secret is good, and the message says up to when.
  local failing = condition(obj, "RefreshFailing")
  return told("Healthy", failing.status == "True" and failing or ready)
end
local reconciling = condition(obj, "Reconciling")
if reconciling.status == "True" then
  return told("Progressing", reconciling)
end
if ready.status == "False" then
  return told("Degraded", ready)
end
return {status = "Progressing", message = "The operator has said nothing yet"}
