// Names to addresses, without the thread pool: a hundred silent name servers must not hold up every other name.
import { BoundedMap } from '../bounded-map.ts';
import { Resolver } from 'node:dns/promises';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { devNull } from 'node:os';
import { pause } from '../lifecycle/pause.ts';
import { shortageOf } from './shortage.ts';

/**
 * How long a result is used again. Long enough that a burst to one host asks once, short enough that a moved host is followed at
 * once; rebinding gains nothing by it, since the address is checked at every dial.
 */
const CACHE_MS = 2000;
/** Names remembered at a time; the oldest go first. */
const MAX_CACHED_NAMES = 1000;
/** c-ares doubles the first timeout for the second try, so a silent server costs 3 s: inside the 5 s a connection may take. */
const TRY_TIMEOUT_MS = 1000;
const TRIES = 2;
/** How long IPv6 addresses may come after IPv4 ones: some name servers never reply for them (RFC 8305, 3). */
const IPV6_GRACE_MS = 50;
/** Addresses of one name that are looked at: each is tried 250 ms after the last, which leaves the last one three of the five seconds of a dial. */
const MAX_ADDRESSES = 8;
const LOOPBACK = ['127.0.0.1', '::1'];

interface Cached {
  readonly addresses: Promise<readonly string[]>;
  expiresAt: number;
}

/**
 * Resolves through c-ares, which works on the event loop; getaddrinfo would take one of four threads for as long as a name server
 * stays silent. The hosts file is honoured as getaddrinfo does, search domains are not: a webhook names its host in full.
 */
export class NameResolver {
  readonly #resolver = new Resolver({ timeout: TRY_TIMEOUT_MS, tries: TRIES });
  readonly #hostsPath: string;
  readonly #cached = new BoundedMap<string, Cached>(MAX_CACHED_NAMES);
  #hosts: Promise<ReadonlyMap<string, string[]>> = Promise.resolve(new Map());
  #hostsReadAt = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly servers?: readonly string[]; readonly hostsPath?: string } = {}) {
    if (options.servers !== undefined) this.#resolver.setServers(options.servers);
    this.#hostsPath = options.hostsPath ?? '/etc/hosts';
  }

  /**
   * All addresses of a name, at least one; rejects when there is none, and with the system's own error when this process could not even ask.
   * Parallel calls for one name ask once.
   */
  resolve(name: string): Promise<readonly string[]> {
    const now = performance.now();
    const known = this.#cached.get(name);
    if (known !== undefined && known.expiresAt > now) return known.addresses;
    const entry: Cached = { addresses: this.#lookUp(name), expiresAt: Number.POSITIVE_INFINITY };
    this.#cached.set(name, entry);
    entry.addresses.then(
      () => (entry.expiresAt = performance.now() + CACHE_MS),
      // A failure is not kept: the next attempt may well succeed.
      () => (entry.expiresAt = 0),
    );
    return entry.addresses;
  }

  async #lookUp(name: string): Promise<readonly string[]> {
    // Never asked of a name server (RFC 6761, 6.3).
    if (name === 'localhost' || name.endsWith('.localhost')) return LOOPBACK;
    const fromHosts = (await this.#hostsFile()).get(name);
    if (fromHosts !== undefined) return fromHosts;
    const sixth = this.#resolver.resolve6(name).catch((): string[] => []);
    let fourth: string[] = [];
    let failure: unknown = new Error('no addresses');
    try {
      fourth = await this.#resolver.resolve4(name);
    } catch (error) {
      failure = error;
    }
    const addresses = inTurn(fourth, await (fourth.length > 0 ? withinGrace(sixth) : sixth));
    if (addresses.length > 0) return addresses.slice(0, MAX_ADDRESSES);
    throwWithoutDescriptors();
    throw failure;
  }

  #hostsFile(): Promise<ReadonlyMap<string, string[]>> {
    const now = performance.now();
    if (now - this.#hostsReadAt > CACHE_MS) {
      this.#hostsReadAt = now;
      this.#hosts = readFile(this.#hostsPath, 'utf8').then(parseHosts, (error: unknown) => {
        if (shortageOf(error) === null) return new Map<string, string[]>();
        // A name that stands there must not count as unknown.
        this.#hostsReadAt = Number.NEGATIVE_INFINITY;
        throw error;
      });
    }
    return this.#hosts;
  }
}

// c-ares says of a socket that it could not have that no server took the question.
function throwWithoutDescriptors(): void {
  closeSync(openSync(devNull, 'r'));
}

/** IPv4 first, then the families in turn, so that one that does not work here costs one address's time (RFC 8305, 4). */
function inTurn(fourth: readonly string[], sixth: readonly string[]): string[] {
  const addresses: string[] = [];
  for (let i = 0; i < Math.max(fourth.length, sixth.length); i += 1)
    addresses.push(...fourth.slice(i, i + 1), ...sixth.slice(i, i + 1));
  return addresses;
}

async function withinGrace(addresses: Promise<string[]>): Promise<string[]> {
  const enough = new AbortController();
  const found = await Promise.race([addresses, pause(IPV6_GRACE_MS, enough.signal)]);
  enough.abort();
  return found ?? [];
}

function parseHosts(text: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of names) hosts.set(name.toLowerCase(), [...(hosts.get(name.toLowerCase()) ?? []), address]);
  }
  return hosts;
}
