// Who calls, by address: the connection's own, or what trusted proxies say of it. Every protocol asks here.
import { BlockList, isIP, isIPv6 } from 'node:net';
import type { TrustProxy } from '../../config.ts';

/** What is known of a request before anything of it is believed. */
export interface Arrival {
  /** The address at the other end of the connection. */
  readonly peer: string | undefined;
  readonly forwardedFor: string | string[] | undefined;
  readonly forwardedProto?: string | string[] | undefined;
}

export class CallerAddress {
  readonly #trust: TrustProxy;
  readonly #networks = new BlockList();

  /** `trust`: how many proxies stand in front, or their networks. */
  constructor(trust: TrustProxy) {
    this.#trust = trust;
    if (typeof trust === 'number') return;
    for (const network of trust) {
      const [address = '', bits] = network.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      this.#networks.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
    }
  }

  /**
   * The rightmost address that is not a trusted proxy's: what stands left of it in X-Forwarded-For was written by strangers. Every proxy
   * appends the address that it was called from.
   */
  of({ peer, forwardedFor }: Arrival): string {
    let address = plainAddress(peer ?? '') ?? '';
    if (forwardedFor === undefined || !this.#trusts(address, 0)) return address;
    const listed = typeof forwardedFor === 'string' ? forwardedFor : forwardedFor.join(',');
    for (let end = listed.length, hop = 1; end >= 0; hop += 1) {
      const comma = listed.lastIndexOf(',', end - 1);
      const next = plainAddress(listed.slice(comma + 1, end));
      // Not an address: the sender that is known stands for it.
      if (next === null) return address;
      address = next;
      if (comma < 0 || !this.#trusts(address, hop)) return address;
      end = comma;
    }
    return address;
  }

  /** Whether a trusted proxy connects from there: many callers share its address. */
  isProxy(peer: string | undefined): boolean {
    return this.#trusts(plainAddress(peer ?? '') ?? '', 0);
  }

  /** Whether the caller's own connection was made with TLS, as a trusted proxy says; null when none does. */
  isSecure({ peer, forwardedProto }: Arrival): boolean | null {
    if (forwardedProto === undefined || !this.#trusts(plainAddress(peer ?? '') ?? '', 0)) return null;
    const protocols = String(forwardedProto).split(',');
    // Each proxy appends, or the last one has replaced: that of the outermost trusted proxy is the caller's.
    const outermost = typeof this.#trust === 'number' ? Math.max(0, protocols.length - this.#trust) : protocols.length - 1;
    const protocol = protocols[outermost]?.trim().toLowerCase();
    return protocol === 'https' || protocol === 'wss';
  }

  /** Whether who is `hop` steps away, at this address, is one of our proxies. */
  #trusts(address: string, hop: number): boolean {
    if (typeof this.#trust === 'number') return hop < this.#trust;
    const family = isIP(address);
    return family !== 0 && this.#networks.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}

const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/;
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** An address without port, brackets, zone and the IPv6 form of IPv4; null for anything else. */
function plainAddress(text: string): string | null {
  const trimmed = text.trim();
  const inner = WITH_PORT.exec(trimmed);
  const [address = ''] = (inner?.[1] ?? inner?.[2] ?? trimmed).split('%', 1);
  if (isIP(address) === 0) return null;
  return MAPPED.exec(address)?.[1] ?? address;
}
