// The field mask of a webhook: what of a payload its receiver gets.
import { Field } from '../../components/field.tsx';

interface MaskFieldProps {
  /** Paths, one a line. */
  readonly value: string;
  readonly errors: ReadonlyMap<string, string>;
  readonly onInput: (value: string) => void;
}

export function MaskField({ value, errors, onInput }: MaskFieldProps) {
  const error = [...errors].find(([name]) => name.startsWith('fields'));
  return (
    <Field
      label="Fields"
      optional
      error={error === undefined ? undefined : `${error[0]} ${error[1]}`}
      hint="Only these of the payload are sent, one a line. Empty: the whole payload."
    >
      {(wiring) => (
        <textarea
          {...wiring}
          class="mono"
          name="fields"
          rows={3}
          value={value}
          spellcheck={false}
          placeholder={'$.order_id\n$.items[*].name'}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
