// Signs with the vendor's library for Node and takes the time: sign.js INPUT. Each line of its input says how many tokens to sign.
'use strict';

const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { AccessToken } = require('twilio').jwt;

const asked = JSON.parse(readFileSync(process.argv[2]));
const { hrtime } = process;

function sign() {
  const { accountSid, keySid, keySecret, identity, ttlSeconds, grant } = asked;
  const token = new AccessToken(accountSid, keySid, keySecret, { identity, ttl: ttlSeconds });
  token.addGrant(new AccessToken.PlaybackGrant({ grant }));
  return token.toJwt();
}

function times(count) {
  return Array.from({ length: count }, () => {
    const start = hrtime.bigint();
    sign();
    return Number(hrtime.bigint() - start);
  });
}

const version = (name) => require(`${name}/package.json`).version;
const who = `Node ${process.versions.node}, twilio ${version('twilio')} (jsonwebtoken ${version('jsonwebtoken')})`;
console.log(JSON.stringify({ who, token: sign() }));
createInterface({ input: process.stdin }).on('line', (line) => console.log(JSON.stringify(times(Number(line)))));
