// What a call asks to replay, as the service takes it.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { CreateReplayRequest } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { SelectionInput } from '../../service/replay-selection.ts';
import { statusOf } from '../messages/delivery-message.ts';

type Selection = Pick<CreateReplayRequest, 'statuses' | 'eventTypes' | 'since' | 'until' | 'errorCodes' | 'httpStatuses'>;

export function selectionInput(request: Selection): Omit<SelectionInput, 'includeMissing'> {
  return {
    statuses: request.statuses.map((status, index) => {
      const name = statusOf(status);
      if (name === null) throw invalid('field_invalid', `statuses[${index}]`, 'names no status');
      return name;
    }),
    eventTypes: request.eventTypes,
    sinceMs: request.since === undefined ? null : timestampMs(request.since),
    untilMs: request.until === undefined ? null : timestampMs(request.until),
    errorCodes: request.errorCodes,
    httpStatuses: request.httpStatuses,
  };
}
