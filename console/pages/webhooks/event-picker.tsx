// The event catalogue to choose from, grouped by what the events are about, each with its sample.
import type { EventType } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { eventTypes } from '../../api/event-types.ts';
import { useResource } from '../../api/resource.ts';
import { Loaded } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';

interface EventPickerProps {
  readonly chosen: readonly string[];
  readonly error: string | undefined;
  readonly onChange: (chosen: string[]) => void;
}

export function EventPicker({ chosen, error, onChange }: EventPickerProps) {
  const catalogue = useResource('event-types', eventTypes);
  return (
    <fieldset class="event-picker" aria-describedby="events-error">
      <legend>Events</legend>
      <Loaded from={catalogue} lines={6}>
        {(types) => (
          <>
            <div class="event-picker-tools">
              <span class="hint">
                {chosen.length === 0 ? 'Choose at least one.' : `${plural(chosen.length, 'event type')} chosen`}
              </span>
              <button
                type="button"
                class="button quiet"
                onClick={() => onChange(chosen.length === types.length ? [] : types.map((type) => type.name))}
              >
                {chosen.length === types.length ? 'Choose none' : 'Choose all'}
              </button>
            </div>
            <div class="event-groups">
              {[...Map.groupBy(types, (type) => type.name.split('.')[0] ?? '')].map(([subject, group]) => (
                <div key={subject} class="event-group" role="group" aria-label={subject}>
                  {group.map((type) => (
                    <EventChoice
                      key={type.name}
                      type={type}
                      checked={chosen.includes(type.name)}
                      onChange={(on) => onChange(on ? [...chosen, type.name] : chosen.filter((name) => name !== type.name))}
                    />
                  ))}
                </div>
              ))}
            </div>
          </>
        )}
      </Loaded>
      <div id="events-error" class="field-error" aria-live="polite">
        {error}
      </div>
    </fieldset>
  );
}

function EventChoice({ type, checked, onChange }: { type: EventType; checked: boolean; onChange: (on: boolean) => void }) {
  return (
    <div class="event-choice">
      <label>
        <input
          type="checkbox"
          name="events"
          value={type.name}
          checked={checked}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
        <span>
          <b class="mono">{type.name}</b>
          <span class="hint">{type.description}</span>
        </span>
      </label>
      <details>
        <summary>
          Sample<span class="visually-hidden"> of {type.name}</span>
        </summary>
        <pre tabIndex={0} aria-label={`Sample data of ${type.name}`}>
          <code>{JSON.stringify(type.sample ?? {}, null, 2)}</code>
        </pre>
      </details>
    </div>
  );
}
