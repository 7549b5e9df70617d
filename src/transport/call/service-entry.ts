// A service of the contract and the code that implements it.
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';

export interface ServiceEntry {
  readonly service: DescService;
  readonly implementation: Readonly<Record<string, unknown>>;
}

/** Ties an implementation to its descriptor; the compiler refuses one that lacks an RPC. */
export function serve<Service extends DescService>(service: Service, implementation: ServiceImpl<Service>): ServiceEntry {
  return { service, implementation: { ...implementation } };
}
