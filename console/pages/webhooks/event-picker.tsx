// The event catalogue to choose from, grouped by what the events are about, each with its sample.
import type { EventType } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { eventTypes } from '../../api/event-types.ts';
import { useResource } from '../../api/resource.ts';
import { Loaded } from '../../components/states.tsx';

interface EventPickerProps {
  readonly chosen: readonly string[];
  readonly error: string | undefined;
  readonly onChange: (chosen: string[]) => void;
}

export function EventPicker({ chosen, error, onChange }: EventPickerProps) {
  const catalogue = useResource('event-types', eventTypes);
  return (
    <fieldset class="event-picker" aria-describedby="events-error" data-invalid={error !== undefined}>
      <legend>Events</legend>
      <Loaded from={catalogue} lines={6}>
        {(types) => (
          <>
            <div class="event-picker-tools">
              <span class="hint">{summaryOf(chosen)}</span>
              <PatternChoice pattern="*" label="Everything" {...{ chosen, onChange }} />
            </div>
            <div class="event-groups">
              {[...Map.groupBy(types, (type) => type.name.split('.')[0] ?? '')].map(([subject, group]) => (
                <div key={subject} class="event-group" role="group" aria-label={subject}>
                  <PatternChoice
                    pattern={`${subject}.*`}
                    label={`All of ${subject}`}
                    isCovered={chosen.includes('*')}
                    {...{ chosen, onChange }}
                  />
                  {group.map((type) => (
                    <EventChoice
                      key={type.name}
                      type={type}
                      isCovered={chosen.includes('*') || chosen.includes(`${subject}.*`)}
                      checked={chosen.includes(type.name)}
                      onChange={(on) => onChange(toggled(chosen, type.name, on))}
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

function summaryOf(chosen: readonly string[]): string {
  if (chosen.length === 0) return 'Choose at least one.';
  if (chosen.includes('*')) return 'Every event, also of types that are added later.';
  return `Chosen: ${chosen.join(', ')}`;
}

function toggled(chosen: readonly string[], name: string, on: boolean): string[] {
  return on ? [...chosen, name] : chosen.filter((other) => other !== name);
}

interface PatternChoiceProps {
  readonly pattern: string;
  readonly label: string;
  readonly isCovered?: boolean;
  readonly chosen: readonly string[];
  readonly onChange: (chosen: string[]) => void;
}

/** A pattern takes in types that are added later. What it covers need not be chosen, and stays as it was for when it is not chosen any more. */
function PatternChoice({ pattern, label, isCovered = false, chosen, onChange }: PatternChoiceProps) {
  return (
    <label class="pattern-choice">
      <input
        type="checkbox"
        name="events"
        value={pattern}
        checked={isCovered || chosen.includes(pattern)}
        disabled={isCovered}
        onChange={(event) => onChange(toggled(chosen, pattern, event.currentTarget.checked))}
      />
      <span>
        {label} <span class="mono">{pattern}</span>
        <span class="hint">, also what is added later</span>
      </span>
    </label>
  );
}

interface EventChoiceProps {
  readonly type: EventType;
  /** By a pattern that is chosen. */
  readonly isCovered: boolean;
  readonly checked: boolean;
  readonly onChange: (on: boolean) => void;
}

function EventChoice({ type, isCovered, checked, onChange }: EventChoiceProps) {
  return (
    <div class="event-choice">
      <label>
        <input
          type="checkbox"
          name="events"
          value={type.name}
          checked={isCovered || checked}
          disabled={isCovered}
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
