// How the keys of the service look on the wire.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { ServiceKeysSchema } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ServiceKeyRow } from '../../persistence/queries/service-keys.ts';
import { standardPublicKey } from '../../security/service-key.ts';

export function serviceKeysMessage(keys: readonly ServiceKeyRow[]): MessageInitShape<typeof ServiceKeysSchema> {
  return {
    keys: keys.map((key) => ({
      id: key.id,
      publicKey: standardPublicKey(key),
      createdAt: timestampFromDate(key.createdAt),
      ...(key.signsUntil === null ? {} : { signsUntil: timestampFromDate(key.signsUntil) }),
    })),
  };
}
