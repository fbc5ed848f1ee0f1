-- Tries deploy/argocd/health.lua on requests of every kind; run by argocd.sh. The check reads the global obj, as Argo CD gives it.

local function condition(kind, status, reason, message, generation)
  return {
    type = kind, status = status, reason = reason, message = message, observedGeneration = generation or 3,
    lastTransitionTime = "2026-11-24T18:21:01Z",
  }
end

local function request(conditions, more)
  more = more or {}
  local status
  if conditions then
    status = {observedGeneration = more.observed or 3, conditions = conditions, consecutiveFailures = 0}
  end
  return {
    apiVersion = "playbackgrant.dev/v1alpha1", kind = "PlaybackGrantRequest",
    metadata = {name = "keynote", namespace = "web", generation = 3, deletionTimestamp = more.deleted},
    spec = {playerStreamerSid = "VJ0123456789abcdef0123456789abcdef", credentialsSecretRef = {name = "media-api"}, suspend = more.suspend},
    status = status,
  }
end

local issued = condition("Ready", "True", "GrantIssued", "Secret web/keynote holds an unexpired grant")
local function ready_false(reason) return condition("Ready", "False", reason, "why") end
local function and_is(kind, reason) return {ready_false(reason), condition(kind, "True", reason, "why")} end
local function failing(reason) return condition("RefreshFailing", "True", reason, "why; it covers until then") end

-- What it is, the health, its message, the request.
local cases = {
  {"a request that nobody has seen", "Progressing", "The operator hasn't seen this generation of the request yet", request()},
  {"a status without conditions", "Progressing", "The operator has said nothing yet", request({})},
  {"a status without a list of conditions", "Progressing", "The operator has said nothing yet",
    {metadata = {generation = 3}, spec = {}, status = {observedGeneration = 3}}},
  {"a grant", "Healthy", "GrantIssued: Secret web/keynote holds an unexpired grant", request({issued})},
  {"a grant of an older generation", "Progressing", "The operator hasn't seen this generation of the request yet", request({issued}, {observed = 2})},
  {"a condition of an older generation", "Progressing", "The operator has said nothing yet",
    request({condition("Ready", "True", "GrantIssued", "old", 2)})},
  {"an older generation that was stalled", "Progressing", "The operator hasn't seen this generation of the request yet",
    request(and_is("Stalled", "InvalidSpec"), {observed = 2})},
  {"a refresh that fails under a live grant", "Healthy", "MediaApiUnavailable: why; it covers until then",
    request({issued, failing("MediaApiUnavailable"), condition("Reconciling", "True", "MediaApiUnavailable", "why")})},
  {"a refresh that is refused under a live grant", "Degraded", "Unauthorized: why",
    request({issued, failing("Unauthorized"), condition("Stalled", "True", "Unauthorized", "why")})},
  {"a grant without the token that is asked for", "Degraded", "CredentialsCannotSign: why",
    request({issued, condition("Stalled", "True", "CredentialsCannotSign", "why")})},
  {"a refusal that isn't slow yet", "Progressing", "PlayerStreamerNotFound: why",
    request({ready_false("PlayerStreamerNotFound"), failing("PlayerStreamerNotFound"),
      condition("Reconciling", "True", "PlayerStreamerNotFound", "why")})},
  {"no grant, and nothing is done about it", "Degraded", "Suspended: why", request({ready_false("Suspended")})},
  {"a condition that tells no generation", "Healthy", "GrantIssued: told", request({{type = "Ready", status = "True", reason = "GrantIssued", message = "told"}})},
  {"suspended under a live grant", "Suspended", "GrantIssued: Secret web/keynote holds an unexpired grant", request({issued}, {suspend = true})},
  {"suspended for longer", "Suspended", "Suspended: why", request({ready_false("Suspended")}, {suspend = true})},
  {"suspended, and nobody has seen it", "Suspended", "Refreshing is suspended", request(nil, {suspend = true})},
  {"resumed", "Healthy", "GrantIssued: Secret web/keynote holds an unexpired grant", request({issued}, {suspend = false})},
  {"deleted", "Progressing", "The request is being deleted", request({issued}, {deleted = "2026-11-24T18:21:01Z"})},
  {"deleted while suspended", "Progressing", "The request is being deleted",
    request({issued}, {deleted = "2026-11-24T18:21:01Z", suspend = true})},
}
for _, reason in ipairs({"Issuing", "MediaApiUnavailable", "MediaApiThrottled", "InvalidResponse", "SecretWriteFailed", "GrantExpired"}) do
  cases[#cases + 1] = {reason .. ", being worked at", "Progressing", reason .. ": why", request(and_is("Reconciling", reason))}
end
for _, reason in ipairs({
  "Unauthorized", "PlayerStreamerNotFound", "MediaApiRejected", "CredentialsNotFound", "CredentialsInvalid", "CredentialsCannotSign",
  "SecretConflict", "SecretWriteFailed", "InvalidSpec",
}) do
  cases[#cases + 1] = {reason .. ", stalled", "Degraded", reason .. ": why", request(and_is("Stalled", reason))}
end

local check = assert(loadfile("deploy/argocd/health.lua"))
local wrong = 0
for _, case in ipairs(cases) do
  local name, status, message
  name, status, message, obj = case[1], case[2], case[3], case[4]
  local health = check()
  if health.status ~= status or health.message ~= message then
    wrong = wrong + 1
    local found = tostring(health.status) .. " (" .. tostring(health.message) .. ")"
    print(string.format("error: argocd: %s: expected %s (%s), found %s", name, status, message, found))
  end
end
print(string.format("argocd: %d passed, %d failed", #cases - wrong, wrong))
