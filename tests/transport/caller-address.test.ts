// Whose address counts: the rightmost that is no trusted proxy's, through every protocol.
import { connect } from 'node:http2';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { CallerAddress } from '../../src/transport/listener/caller-address.ts';
import type { TrustProxy } from '../../src/config.ts';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connectClient, openListeners, verifyToken, type Listeners } from './listeners.ts';

const PROXY = '10.0.0.1';

describe('what is forwarded', () => {
  test.each<[name: string, trust: TrustProxy, peer: string, forwarded: string | string[] | undefined, caller: string]>([
    ['of nobody trusted', 0, PROXY, '203.0.113.7', PROXY],
    ['of one proxy', 1, PROXY, '203.0.113.7', '203.0.113.7'],
    ['with what a stranger wrote in front', 1, PROXY, '198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['of two proxies', 2, PROXY, '198.51.100.1, 203.0.113.7, 10.0.0.2', '203.0.113.7'],
    ['of fewer proxies than are trusted', 3, PROXY, '203.0.113.7', '203.0.113.7'],
    ['by nobody', 1, PROXY, undefined, PROXY],
    ['in two headers', 1, PROXY, ['198.51.100.1', '203.0.113.7'], '203.0.113.7'],
    ['by proxies of a network', ['10.0.0.0/8'], PROXY, '198.51.100.1, 203.0.113.7, 10.9.9.9', '203.0.113.7'],
    ['by who is not of that network', ['10.0.0.0/8'], '192.0.2.1', '203.0.113.7', '192.0.2.1'],
    ['by a network alone', ['10.0.0.0/8'], PROXY, '10.1.1.1, 10.2.2.2', '10.1.1.1'],
    ['by one address', [PROXY], PROXY, '203.0.113.7', '203.0.113.7'],
    ['by IPv4 in IPv6', ['10.0.0.0/8'], `::ffff:${PROXY}`, '::ffff:203.0.113.7', '203.0.113.7'],
    ['by IPv6', ['fd00::/8'], 'fd00::1', '2001:db8::1', '2001:db8::1'],
    ['with ports', 1, PROXY, '203.0.113.7:4711', '203.0.113.7'],
    ['with brackets', 1, PROXY, '[2001:db8::1]:4711', '2001:db8::1'],
    ['with a zone', 1, 'fe80::1%eth0', 'fe80::2%eth0', 'fe80::2'],
    ['as nonsense', 1, PROXY, 'garbage', PROXY],
    ['as nonsense behind an address', 1, PROXY, '203.0.113.7, garbage', PROXY],
    ['as nothing', 1, PROXY, ',,,', PROXY],
    ['as an empty text', 1, PROXY, '', PROXY],
  ])('%s', (_, trust, peer, forwardedFor, caller) => {
    expect(new CallerAddress(trust).of({ peer, forwardedFor })).toBe(caller);
  });

  test.each<[TrustProxy, string, string | undefined, boolean | null]>([
    [0, PROXY, 'https', null],
    [1, PROXY, undefined, null],
    [1, PROXY, 'https', true],
    [1, PROXY, 'http', false],
    [1, PROXY, 'https, http', false],
    [2, PROXY, 'https, http', true],
    [['10.0.0.0/8'], '192.0.2.1', 'https', null],
  ])('trusting %j, %s said %j: secure is %j', (trust, peer, forwardedProto, expected) => {
    expect(new CallerAddress(trust).isSecure({ peer, forwardedFor: undefined, forwardedProto })).toBe(expected);
  });
});

describe('every protocol', () => {
  let listeners: Listeners;
  afterEach(() => listeners.close());

  /** The addresses that tokens were verified for, of a call with a forwarded address over each protocol. */
  async function seen(trustProxy: TrustProxy): Promise<Record<string, string>> {
    const addresses: string[] = [];
    const verify = (header: string | null, address: string) => {
      addresses.push(address);
      return verifyToken(header);
    };
    listeners = await openListeners({ trustProxy, verifyToken: verify });
    const headers = { 'x-forwarded-for': '198.51.100.1, 203.0.113.7' };
    const bearer = { authorization: 'Bearer developer:user123' };
    await fetch(`${listeners.httpUrl}/api/v1/webhooks`, { headers: { ...headers, ...bearer } });
    await fetch(`${listeners.httpUrl}/health`, { headers: { ...headers, ...bearer } });
    for (const protocol of ['connect', 'grpc-web', 'grpc'] as const) {
      await connectClient(WebhookService, listeners, protocol).listWebhooks({}, { headers });
    }
    const stream = connectClient(DeliveryService, listeners, 'grpc').watchDeliveries({}, { headers })[Symbol.asyncIterator]();
    await stream.next();
    await stream.return?.(undefined);
    await plainUnary({ ...headers, ...bearer });
    const names = ['REST', '/health', 'Connect', 'gRPC-Web', 'gRPC', 'gRPC stream', 'gRPC as it is on the wire'];
    expect(addresses).toHaveLength(names.length);
    return Object.fromEntries(names.map((name, index) => [name, addresses[index] ?? '']));
  }

  async function plainUnary(headers: Record<string, string>): Promise<void> {
    const session = connect(listeners.grpcUrl);
    const path = '/homechef.webhook.v1.WebhookService/ListWebhooks';
    const call = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    call.end(Buffer.alloc(5));
    call.resume();
    await once(call, 'close');
    session.close();
  }

  test('believes the trusted hop and nothing left of it', async () => {
    expect(new Set(Object.values(await seen(1)))).toEqual(new Set(['203.0.113.7']));
  });

  test('believes no proxy by default', async () => {
    expect(new Set(Object.values(await seen(0)))).toEqual(new Set(['127.0.0.1']));
  });
});
