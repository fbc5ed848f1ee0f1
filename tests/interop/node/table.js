// What both programs here share: the inputs, our tokens for them, and the table that is printed.
'use strict';

const { spawnSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { unique } = require('./compare');
const { dependencies } = require('./package.json');

/** One line of the table. A check that looked at nothing has failed. */
function row(what, done, wrong) {
  const good = done > 0 && wrong.length === 0;
  if (!good) process.exitCode = 1;
  const told = good ? '' : `: ${unique(wrong).join('; ') || 'nothing to check'}`;
  console.log(`${(good ? 'ok' : 'FAILED').padEnd(6)} ${String(done).padStart(4)}  ${what}${told}`);
}

/** The cases of the file, each with its inputs twice: for the instant that it names, and for now. */
function read(file) {
  const now = Date.now();
  return JSON.parse(readFileSync(file)).map(({ plays, signedAtMillisecond, input }) => ({
    plays,
    frozen: { ...input, signedAtMillisecond },
    now: { ...input, signedAtMillisecond: now },
  }));
}

/** Our tokens for these inputs, by the command that signs with ours. */
function ours(inputs, [program, ...rest]) {
  const input = inputs.map((line) => `${JSON.stringify(line)}\n`).join('');
  const { status, stdout } = spawnSync(program, rest, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'inherit'] });
  const tokens = stdout?.split('\n').slice(0, -1);
  if (status !== 0 || tokens.length !== inputs.length) throw new Error('the signing command gave no token for each input');
  return tokens;
}

/** Names an exception without its text, which may quote a token. */
const nameOf = (error) => [error.name, error.code].filter((part) => part !== undefined).join(' ');

/** That what is loaded is of the versions that package.json pins. */
function checkVersions(names) {
  const version = (name) => require(`${name}/package.json`).version;
  row('the packages are those that are pinned', names.length, names.filter((name) => version(name) !== dependencies[name]));
}

module.exports = { checkVersions, nameOf, ours, read, row };
