// Free TCP ports on the loopback.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below what systems give to outgoing connections (Linux from 32,768, others from 49,152), which would take it before it is used. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const TRIES = 100;

/** A port that was free a moment ago: for servers that cannot listen on 0. Rejects when a hundred are taken. */
export async function freePort(triesLeft = TRIES): Promise<number> {
  const port = randomInt(FIRST_PORT, LAST_PORT);
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    if (triesLeft <= 1) throw error;
    return freePort(triesLeft - 1);
  }
  server.close();
  await once(server, 'close');
  return port;
}
