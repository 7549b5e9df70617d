// The catalogue of event types: what each says, what its payloads look like, and how they are checked.
import { EventPriority, PayloadValidation } from '../../../gen/homechef/webhook/v1/event_type_pb.ts';
import type { EventType } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { eventTypes } from '../../api/event-types.ts';
import { useResource } from '../../api/resource.ts';
import { CodeBlock } from '../../components/code-block.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Loaded } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';

const VALIDATIONS: Record<PayloadValidation, string> = {
  [PayloadValidation.UNSPECIFIED]: '',
  [PayloadValidation.OFF]: 'off: payloads are not held against the schema',
  [PayloadValidation.WARN]: 'warn: other payloads are counted, logged and accepted',
  [PayloadValidation.STRICT]: 'strict: other payloads are refused',
};

const PRIORITIES: Record<EventPriority, string> = {
  [EventPriority.UNSPECIFIED]: '',
  [EventPriority.HIGH]: 'high',
  [EventPriority.NORMAL]: 'normal',
  [EventPriority.LOW]: 'low',
};

export function EventTypesPage() {
  const catalogue = useResource('event-types', eventTypes);
  return (
    <>
      <PageHead
        title="Event types"
        {...(catalogue.data === undefined ? {} : { lead: plural(catalogue.data.length, 'event type') })}
      />
      <Loaded from={catalogue} lines={8}>
        {(types) => (
          <div class="event-types">
            {types.map((type) => (
              <EventTypePanel key={type.name} type={type} />
            ))}
          </div>
        )}
      </Loaded>
    </>
  );
}

function EventTypePanel({ type }: { type: EventType }) {
  const { name, description, schema, schemaVersion, sample, validation, defaultPriority, deprecated } = type;
  return (
    <section class="panel" aria-label={name}>
      <div class="panel-head">
        <h2 class="mono">{name}</h2>
        {deprecated && <span class="badge">deprecated</span>}
      </div>
      {description !== '' && <p>{description}</p>}
      <dl class="facts">
        <dt>Schema</dt>
        <dd>{schema === undefined ? 'none' : `version ${schemaVersion}`}</dd>
        <dt>Validation</dt>
        <dd>{VALIDATIONS[validation]}</dd>
        <dt>Priority</dt>
        <dd>{PRIORITIES[defaultPriority]}</dd>
      </dl>
      <Document label="Sample" of={name} value={sample} />
      <Document label="Schema" of={name} value={schema} />
    </section>
  );
}

function Document({ label, of, value }: { label: string; of: string; value: object | undefined }) {
  if (value === undefined) return null;
  return (
    <details>
      <summary>
        {label}
        <span class="visually-hidden"> of {of}</span>
      </summary>
      <CodeBlock text={JSON.stringify(value, null, 2)} label={`${label} of ${of}`} />
    </details>
  );
}
