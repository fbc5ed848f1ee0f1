// Gives our Access Tokens to the vendor's published Player SDK: player.js INPUTS SIGN…
//
// SIGN is the command that signs with ours. Nothing secret is printed.
'use strict';

const net = require('node:net');
const { isDeepStrictEqual } = require('node:util');
const { encoded, parts } = require('./compare');
const { checkVersions, nameOf, ours, read, row } = require('./table');

const [inputs, ...command] = process.argv.slice(2);
const cases = read(inputs);
const tokens = ours(cases.map(({ now }) => now), command);
const all = cases.map(({ plays, now: { grant } }, index) => ({ plays, grant, token: tokens[index] }));

// From here on, this is a browser.
const { seen } = require('./browser');
const { Player } = require('@twilio/live-player-sdk');
const { getPlaybackGrant } = require('@twilio/live-player-sdk/es5/grant.js');

const INVALID_TOKEN = 20101;
const ASSETS = '/assets';

/** What a call of the SDK says of its token: 'accepted', or the name of its error. */
async function answer(call) {
  try {
    await call();
    return 'accepted';
  } catch (error) {
    return error.code === INVALID_TOKEN ? INVALID_TOKEN : nameOf(error);
  }
}

/** Ways to spoil a token for who looks at nothing but its playback grant. */
function spoilt(token) {
  const { claims } = parts(token);
  const { grants } = claims;
  const [header, payload, signature] = token.split('.');
  const with_ = (claims) => `${header}.${encoded(claims)}.${signature}`;
  const player = (change) => with_({ ...claims, grants: { ...grants, player: { ...grants.player, ...change } } });
  return {
    'nothing at all': '',
    'one part': header,
    'a payload cut short': `${header}.${payload.slice(0, -8)}.${signature}`,
    'no grants': with_({ ...claims, grants: undefined }),
    'no grants.player': with_({ ...claims, grants: { ...grants, player: undefined } }),
    'no playbackUrl': player({ playbackUrl: undefined }),
    'no playerStreamerSid': player({ playerStreamerSid: undefined }),
    'requestCredentials of its own': player({ requestCredentials: 'x' }),
  };
}

async function checkGrants(good, refused) {
  const wrong = good.flatMap(({ grant, token }) => {
    const { playbackUrl, requestCredentials, playerStreamerSid: streamerSid } = grant;
    return isDeepStrictEqual(getPlaybackGrant(token), { playbackUrl, requestCredentials, streamerSid }) ? [] : ['another grant'];
  });
  row('getPlaybackGrant finds playback URL, streamer and requestCredentials', good.length, wrong);
  const answers = await Promise.all(refused.map(({ token }) => answer(() => getPlaybackGrant(token))));
  row(`a grant that is a string is refused (${INVALID_TOKEN})`, refused.length, answers.filter((answer) => answer !== INVALID_TOKEN));
}

/** Connects; gives what the SDK answered, the events that it told, and the workers that it started. */
async function connect(token) {
  const events = [];
  const subscriber = (event) => events.push(event);
  const before = seen.workers.length;
  Player.telemetry.subscribe(subscriber);
  const answered = await answer(() => Player.connect(token, { playerWasmAssetsPath: ASSETS }));
  Player.telemetry.unsubscribe(subscriber);
  return { answered, events, workers: seen.workers.slice(before) };
}

async function checkGoodConnect(good) {
  const wrong = [];
  for (const { grant, token } of good) {
    const { answered, events, workers } = await connect(token);
    const connected = events.find(({ name }) => name === 'connected');
    const posted = workers.flatMap((worker) => worker.posted);
    const argumentOf = (name) => posted.find(({ funcName }) => funcName === name)?.args[0];
    if (answered !== 'accepted') wrong.push(`connect: ${answered}`);
    if (connected?.playerStreamerSid !== grant.playerStreamerSid) wrong.push('no "connected" event for the streamer');
    if (!/^\/assets\/.*\.wasm$/.test(posted[0]?.wasmBinaryUrl)) wrong.push('no worker was told of its WebAssembly');
    if (argumentOf('load') !== grant.playbackUrl) wrong.push("no worker was told to load the grant's playback URL");
    if ((argumentOf('setRequestCredentials') ?? null) !== grant.requestCredentials) wrong.push('the worker has other requestCredentials');
  }
  row('Player.connect takes it, and has its worker load the playback URL', good.length, wrong);
}

async function checkSpoiltConnect(good) {
  let done = 0;
  const wrong = [];
  for (const { token } of good) {
    for (const [what, bad] of Object.entries(spoilt(token))) {
      done += 1;
      const { answered, events, workers } = await connect(bad);
      const told = events.map(({ name }) => name).join();
      if (answered !== INVALID_TOKEN || told !== 'connecting,error' || workers.length > 0) wrong.push(`${what}: ${answered}`);
    }
  }
  row(`Player.connect answers a spoilt token with ${INVALID_TOKEN}, and starts no worker`, done, wrong);
}

async function main() {
  console.log(`Player SDK ${Player.version}`);
  checkVersions(['@twilio/live-player-sdk']);
  const good = all.filter(({ plays }) => plays);
  await checkGrants(good, all.filter(({ plays }) => !plays));
  await checkGoodConnect(good);
  await checkSpoiltConnect(good);
  const reached = seen.reached.slice();
  // The watch itself: what is tried is seen.
  await answer(() => net.connect({ host: 'localhost', port: 9 }));
  await answer(() => fetch('http://localhost/'));
  if (seen.reached.length !== reached.length + 2) reached.push('a try that was not seen');
  row('and all that without a try to reach a network', seen.workers.length, reached);
}

main()
  .catch((error) => row(`it ran to its end: ${nameOf(error)}`, 0, []))
  // The SDK's timers would keep it alive.
  .finally(() => process.exit());
