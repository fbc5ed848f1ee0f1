// Holds our Access Tokens against the vendor's library for Node, and jsonwebtoken against them: check.js INPUTS SIGN…
//
// SIGN is the command that signs with ours. Nothing secret is printed: of a token no more than the names of its fields.
'use strict';

const jsonwebtoken = require('jsonwebtoken');
const { AccessToken } = require('twilio').jwt;
const { differences, fields, mutants, parts, signed, unsigned } = require('./compare');
const { dependencies } = require('./package.json');
const { checkVersions, ours, read, row } = require('./table');

function theirs({ accountSid, keySid, keySecret, identity, ttlSeconds, grant, signedAtMillisecond }) {
  const token = new AccessToken(accountSid, keySid, keySecret, { identity, ttl: ttlSeconds });
  token.addGrant(new AccessToken.PlaybackGrant({ grant }));
  const clock = Date.now;
  Date.now = () => signedAtMillisecond;
  try {
    return token.toJwt();
  } finally {
    Date.now = clock;
  }
}

/** Why jsonwebtoken refuses it, undefined when it accepts. Its words quote nothing of the token. */
function objection(token, { keySid, accountSid }, secret) {
  try {
    jsonwebtoken.verify(token, secret, { algorithms: ['HS256'], issuer: keySid, subject: accountSid, maxAge: '24h' });
    return undefined;
  } catch (error) {
    return error.message;
  }
}

const REFUSALS = ['invalid signature', 'invalid algorithm'];

function checkSignatures(now) {
  const accepted = now.flatMap(({ asked, token }) => objection(token, asked, asked.keySecret) ?? []);
  row('jsonwebtoken accepts our signature and times', now.length, accepted);
  const refused = now.flatMap(({ asked, token }) => {
    const found = objection(token, asked, [...asked.keySecret].reverse().join(''));
    return found === 'invalid signature' ? [] : [found ?? 'accepted'];
  });
  row("it doesn't accept it with another key", now.length, refused);
}

function checkMutants(now) {
  let done = 0;
  const [kept, signedAnew, control, number] = [[], [], [], []];
  for (const { asked, token } of now) {
    const { keySecret, signedAtMillisecond } = asked;
    const original = parts(token);
    const theirParts = parts(theirs(asked));
    // Unspoilt, what is encoded and signed here passes everywhere: a mutant is refused for what was changed.
    const again = signed(original, keySecret);
    if (objection(again, asked, keySecret)) control.push('jsonwebtoken');
    control.push(...differences(parts(again), theirParts, signedAtMillisecond));
    const spoilt = [...mutants(original, signedAtMillisecond)];
    const names = new Set(spoilt.map(({ manner, field }) => `${manner} ${field}`));
    if (names.size !== spoilt.length || spoilt.length !== 2 * fields(token)) number.push('one was left out');
    done += spoilt.length;
    for (const { manner, field, mutant } of spoilt) {
      const stale = `${unsigned(mutant)}.${token.split('.')[2]}`;
      if (!REFUSALS.includes(objection(stale, asked, keySecret))) kept.push(`jsonwebtoken misses ${manner} ${field}`);
      if (!differences(parts(signed(mutant, keySecret)), theirParts, signedAtMillisecond).includes(field)) {
        signedAnew.push(`it misses ${manner} ${field}`);
      }
    }
  }
  row('encoded and signed anew without a change, it passes', now.length * 2, control);
  row('every field of header and claims is among the mutations', now.length, number);
  row('each mutation under the old signature is refused', done, kept);
  row('each mutation signed anew is noticed by the comparison, by its name', done, signedAnew);
}

const [inputs, ...command] = process.argv.slice(2);
console.log(`Node ${process.versions.node}: twilio ${dependencies.twilio}, jsonwebtoken ${dependencies.jsonwebtoken}`);
checkVersions(['twilio', 'jsonwebtoken']);
const cases = read(inputs);
const asked = [...cases.map(({ frozen }) => frozen), ...cases.map(({ now }) => now)];
const pairs = ours(asked, command).map((token, index) => ({ asked: asked[index], token }));
const wrong = pairs.flatMap(({ asked, token }) => differences(parts(token), parts(theirs(asked)), asked.signedAtMillisecond));
row("header and claims are as the library's", pairs.length, wrong);
checkSignatures(pairs.slice(cases.length));
checkMutants(pairs.slice(cases.length));
