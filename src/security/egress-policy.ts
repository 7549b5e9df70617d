// The egress policy: where webhooks may go. One static check of URLs, one check of the addresses that are dialled.
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { ConfigError, type Config } from '../config.ts';
import { invalid, type ServiceError } from '../domain/errors.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

export const MAX_URL_CHARACTERS = 2048;
/** What DNS can carry (RFC 1035, 2.3.4): 63 bytes a label, 253 characters as text. */
const MAX_NAME_CHARACTERS = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Names that mean something only inside a network: this machine, this site, this cluster, this cloud. */
const PRIVATE_SUFFIXES = ['.localhost', '.local', '.internal', '.svc', '.arpa'];

/**
 * Where clouds answer with credentials: AWS, GCP, Azure and others on link-local; Azure's wire server; Alibaba; Oracle; AWS and GCP on
 * IPv6. No allow-list opens these.
 */
const METADATA = ranges(
  '169.254.0.0/16',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '192.0.0.192/32',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
);

/** Everything in IANA's special-purpose registry that is not a globally reachable host, multicast, and the old 6to4 relays. */
const SPECIAL_V4 = ranges(
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
);

/** The only block of IPv6 that holds public hosts, and the parts of it that do not: protocol assignments, documentation, 6to4. */
const GLOBAL_V6 = ranges('2000::/3');
const SPECIAL_V6 = ranges('2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20');

const MAPPED = range('::ffff:0:0/96');
const COMPATIBLE = range('::/96');
const NAT64 = range('64:ff9b::/96');
const SIX_TO_FOUR = range('2002::/16');

/**
 * Ports of services that speak no HTTP, or that only operators should reach by it. Together with every port below 1024 but 80 and
 * 443 they are refused in production, so that a webhook cannot be made to talk to a mail server or a database.
 */
const FORBIDDEN_PORTS = new Set([
  1433, 1521, 1719, 1720, 1723, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5671, 5672,
  5900, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 9042, 9092, 9200, 9300, 10_080, 10_250, 10_255, 11_211,
  26_379, 27_017, 27_018, 27_019,
]);
const LAST_SYSTEM_PORT = 1023;

export class EgressPolicy {
  readonly #allowed: readonly Range[];
  readonly #allowHttp: boolean;
  readonly #production: boolean;
  readonly #loopbackAllowed: boolean;

  /** Throws a ConfigError for a range that is not one. */
  constructor(config: Pick<Config, 'environment' | 'egress'>) {
    this.#allowed = config.egress.allowedCidrs.map(allowedRange);
    this.#allowHttp = config.egress.allowHttp;
    this.#production = config.environment === 'production';
    this.#loopbackAllowed = this.allowsAddress('127.0.0.1') || this.allowsAddress('::1');
  }

  /**
   * Checks a URL as text alone, so that the answer shows nothing about any network: what its name resolves to is checked when it is
   * dialled. Returns the parsed form, which is the one to store. Throws `endpoint_url_invalid` or `endpoint_url_forbidden`.
   */
  checkUrl(text: string): string {
    if (text.length > MAX_URL_CHARACTERS) throw malformed(`must be at most ${MAX_URL_CHARACTERS} characters`);
    // Parsers drop or rewrite these silently, each in its own way; none belongs in a URL.
    if (/[\s\\\p{Cc}\p{Cf}\p{Cs}]/u.test(text)) throw malformed('must not hold whitespace, backslashes or control characters');
    if (text.includes('#')) throw malformed('must not have a fragment');
    // The parser would also take "http:host" and "http:///host" for "http://host".
    const authority = /^https?:\/\/([^/?]+)/i.exec(text)?.[1];
    if (authority === undefined) throw malformed('must be an absolute http or https URL');
    if (authority.includes('@')) throw malformed('must not hold a user name or password');
    const url = URL.parse(text);
    if (url === null) throw malformed('must be an absolute http or https URL with a valid host and port');
    if (url.href.length > MAX_URL_CHARACTERS) throw malformed(`must be at most ${MAX_URL_CHARACTERS} characters once encoded`);
    if (url.protocol === 'http:' && !this.#allowHttp) throw malformed('must use https');
    this.#checkPort(url);
    this.#checkHost(url.hostname);
    return url.href;
  }

  /**
   * Whether a connection to this address may be opened. Asked for every dial, with the very address that is dialled; an IPv4
   * address inside an IPv6 one is judged as what it reaches.
   */
  allowsAddress(text: string): boolean {
    return isReachable(text, this.#allowed);
  }

  #checkPort(url: URL): void {
    if (url.port === '') return;
    const port = Number(url.port);
    if (port === 0) throw malformed('must have a port from 1 to 65535');
    const system = port <= LAST_SYSTEM_PORT && port !== 80 && port !== 443;
    if (this.#production && (system || FORBIDDEN_PORTS.has(port))) throw forbidden('has a port that webhooks may not use');
  }

  // The parser has already turned every spelling of an address (octal, hex, one number, full-width digits) into the plain one.
  #checkHost(hostname: string): void {
    const literal = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    if (isIP(literal) !== 0) {
      if (!this.allowsAddress(literal)) throw forbidden('must not point to a private, reserved or metadata address');
      return;
    }
    const labels = hostname.split('.');
    if (labels.at(-1) === '') throw malformed('must not have a host that ends with a dot');
    if (hostname.length > MAX_NAME_CHARACTERS || !labels.every((label) => LABEL.test(label)))
      throw malformed('must have a valid host name');
    if (this.#loopbackAllowed && labels.at(-1) === 'localhost') return;
    if (labels.length === 1 || PRIVATE_SUFFIXES.some((suffix) => hostname.endsWith(suffix))) {
      throw forbidden('must have a public host name');
    }
  }
}

/**
 * Whether an address is that of a host of the public internet, whatever WEBHOOK_ALLOWED_CIDRS opens beside them: only then may the owner of a webhook
 * read what its name stands for.
 */
export function isPublicAddress(text: string): boolean {
  return isReachable(text, []);
}

function isReachable(text: string, allowed: readonly Range[]): boolean {
  // A zone ("fe80::1%eth0") names an interface of this machine: never a public host.
  if (isIP(text) === 0 || text.includes('%')) return false;
  let address: Address = ipaddr.parse(text);
  const embedded = embeddedIpv4(address);
  if (within(METADATA, address) || (embedded !== null && within(METADATA, embedded))) return false;
  if (embedded !== null && isWithin(address, MAPPED)) address = embedded;
  if (within(allowed, address)) return true;
  // A NAT64 gateway must not be made to reach what this side could not reach itself, so the allow-list does not count here.
  if (embedded !== null && isWithin(address, NAT64)) return !within(SPECIAL_V4, embedded);
  return address.kind() === 'ipv4' ? !within(SPECIAL_V4, address) : within(GLOBAL_V6, address) && !within(SPECIAL_V6, address);
}

function malformed(message: string): ServiceError {
  return invalid('endpoint_url_invalid', 'url', message);
}

function forbidden(message: string): ServiceError {
  return invalid('endpoint_url_forbidden', 'url', message);
}

function embeddedIpv4(address: Address): ipaddr.IPv4 | null {
  if (!(address instanceof ipaddr.IPv6)) return null;
  const bytes = address.toByteArray();
  if (isWithin(address, SIX_TO_FOUR)) return new ipaddr.IPv4(bytes.slice(2, 6));
  return [MAPPED, COMPATIBLE, NAT64].some((block) => isWithin(address, block)) ? new ipaddr.IPv4(bytes.slice(12)) : null;
}

function within(blocks: readonly Range[], address: Address): boolean {
  return blocks.some((block) => isWithin(address, block));
}

function isWithin(address: Address, [network, prefix]: Range): boolean {
  if (address instanceof ipaddr.IPv4) return network instanceof ipaddr.IPv4 && address.match(network, prefix);
  return network instanceof ipaddr.IPv6 && address.match(network, prefix);
}

function range(cidr: string): Range {
  return ipaddr.parseCIDR(cidr);
}

function ranges(...cidrs: string[]): Range[] {
  return cidrs.map(range);
}

function allowedRange(cidr: string): Range {
  const [network = '', prefix = '', ...rest] = cidr.split('/');
  if (
    rest.length > 0 ||
    isIP(network) === 0 ||
    network.includes('%') ||
    !/^\d{1,3}$/.test(prefix) ||
    !ipaddr.isValidCIDR(cidr)
  ) {
    throw new ConfigError(`WEBHOOK_ALLOWED_CIDRS must hold ranges such as 10.1.0.0/16, not "${cidr}"`);
  }
  return range(cidr);
}
