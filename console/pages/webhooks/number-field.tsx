// A number with its unit; left empty it follows the service's default.
import { Field } from '../../components/field.tsx';

interface NumberFieldProps {
  readonly label: string;
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly step: number | 'any';
  readonly value: string;
  readonly placeholder?: string;
  readonly error: string | undefined;
  readonly onInput: (value: string) => void;
}

export function NumberField({ label, unit, min, max, step, value, placeholder = 'default', error, onInput }: NumberFieldProps) {
  return (
    <Field label={label} hint={unit} error={error}>
      {(wiring) => (
        <input
          {...wiring}
          type="number"
          inputMode="decimal"
          min={min}
          max={max}
          step={step}
          value={value}
          placeholder={placeholder}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
