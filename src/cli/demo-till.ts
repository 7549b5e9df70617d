// The till of the demo's night: a receiver that can be switched off.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Till {
  readonly url: string;
  /** Ids of the deliveries that it took, in the order they came. */
  readonly taken: readonly string[];
  /** Requests that it refused. */
  readonly refused: number;
  isOn: boolean;
  close(): Promise<void>;
}

/** Refuses everything with 503 while it is off, as the proxy before a receiver does. */
export async function startTill(): Promise<Till> {
  const taken: string[] = [];
  const till = { isOn: true, refused: 0 };
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (till.isOn) taken.push(String(request.headers['x-homechef-delivery']));
      else till.refused += 1;
      response.writeHead(till.isOn ? 200 : 503).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/till`;
  const close = async (): Promise<void> => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  return Object.assign(till, { url, taken, close });
}
