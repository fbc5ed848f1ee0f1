// What two Access Tokens for the same inputs may differ in, and every way to spoil one. Pure.
'use strict';

const { createHmac } = require('node:crypto');

const CLAIMS = ['jti', 'iss', 'sub', 'nbf', 'iat', 'exp', 'grants'];
const LONGEST_LIFE_SECONDS = 86_400;

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const unique = (list) => [...new Set(list)].sort();

/** The fields in which our token isn't what theirs says it must be. Each token is {header, claims}; the instant is in milliseconds. */
function differences(ours, theirs, signedAt) {
  const { claims } = ours;
  const found = unequal('header', ours.header, theirs.header);
  found.push(...CLAIMS.filter((name) => !(name in claims)), ...Object.keys(claims).filter((name) => !CLAIMS.includes(name)));
  for (const name of ['iss', 'sub', 'grants']) found.push(...unequal(name, claims[name], theirs.claims[name]));
  // Ours goes on after theirs: theirs is the same for all tokens of one second.
  if (typeof claims.jti !== 'string' || !claims.jti.startsWith(`${theirs.claims.jti}-`)) found.push('jti');
  const second = Math.floor(signedAt / 1000);
  const { exp, iat, nbf } = claims;
  if (!Number.isInteger(exp) || exp - second !== theirs.claims.exp - second) found.push('exp');
  // The platform refuses longer lives (error 20157).
  if (!Number.isInteger(iat) || iat > second || exp - iat > LONGEST_LIFE_SECONDS) found.push('iat');
  if (!Number.isInteger(nbf) || nbf > second) found.push('nbf');
  return unique(found);
}

/** The paths at which two values differ. */
function unequal(path, ours, theirs) {
  const alike = isObject(ours) ? isObject(theirs) : Array.isArray(ours) && Array.isArray(theirs) && ours.length === theirs.length;
  if (!alike) return Object.is(ours, theirs) ? [] : [path];
  return unique([...Object.keys(ours), ...Object.keys(theirs)]).flatMap((key) =>
    Object.hasOwn(ours, key) && Object.hasOwn(theirs, key) ? unequal(`${path}.${key}`, ours[key], theirs[key]) : [`${path}.${key}`],
  );
}

/** Each field of the token, first with another value, then left out: {manner, field, mutant}. Fields are named as in `differences`. */
function* mutants(token, signedAt) {
  for (const path of paths(token)) {
    if (path.length === 1) continue;
    for (const manner of ['another', 'no']) {
      const mutant = structuredClone(token);
      const key = path.at(-1);
      const parent = path.slice(0, -1).reduce((node, step) => node[step], mutant);
      if (manner === 'no') delete parent[key];
      else parent[key] = ['iat', 'nbf'].includes(key) ? Math.floor(signedAt / 1000) + 1 : another(parent[key]);
      yield { manner, field: path.join('.').replace(/^claims\./, ''), mutant };
    }
  }
}

function* paths(node, above = []) {
  if (typeof node !== 'object' || node === null) return;
  for (const key of Object.keys(node)) {
    if (isObject(node)) yield [...above, key];
    yield* paths(node[key], [...above, key]);
  }
}

function another(value) {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  return typeof value === 'string' ? `x${value}` : [value];
}

/** How many fields the token has, counted by the parser and not by what makes the mutants. */
function fields(token) {
  let count = 0;
  for (const part of token.split('.').slice(0, 2)) {
    JSON.parse(decoded(part), function visit(_key, value) {
      if (isObject(value)) count += Object.keys(value).length;
      return value;
    });
  }
  return count;
}

function parts(token) {
  const [header, claims] = token.split('.');
  return { header: JSON.parse(decoded(header)), claims: JSON.parse(decoded(claims)) };
}

/** A token of these parts, signed by an HMAC that is neither theirs nor ours. */
function signed(token, secret) {
  const message = unsigned(token);
  return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
}

const unsigned = ({ header, claims }) => `${encoded(header)}.${encoded(claims)}`;
const encoded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
const decoded = (part) => Buffer.from(part, 'base64url').toString();

module.exports = { differences, encoded, fields, mutants, parts, signed, unique, unsigned };
