// What Grafana does not publish as components: drawn from the same JSON, in the same colours.
import { getValueFormat } from '@grafana/data';
import React, { useEffect, useRef } from 'react';

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

const viridis = (share) => {
  const at = Math.min(share, 1) * (VIRIDIS.length - 1);
  const [low, high] = [VIRIDIS[Math.floor(at)], VIRIDIS[Math.ceil(at)]];
  return `rgb(${low.map((value, index) => Math.round(value + (high[index] - value) * (at % 1))).join(' ')})`;
};

const seconds = (value, decimals = value < 0.01 ? 2 : 1) => { const { text, suffix } = getValueFormat('s')(value, decimals); return text + (suffix ?? ''); };

const colourOf = (panel, theme, name) => {
  const found = panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === name);
  return theme.visualization.getColorByName(found?.properties.find(({ id }) => id === 'color').value.fixedColor ?? 'gray');
};

// The transformation `groupingToMatrix`, then stacked horizontal bars.
export function Bars({ panel, width, height, answers, theme }) {
  const { rowField, columnField } = panel.transformations.find(({ id }) => id === 'groupingToMatrix').options;
  const points = answers[`${panel.id}/A`].map(({ metric, value }) => ({ row: metric[rowField], part: metric[columnField], size: Number(value[1]) }));
  const rows = [...new Set(points.map(({ row }) => row))];
  const parts = [...new Set(points.map(({ part }) => part))];
  const total = (row) => points.filter((point) => point.row === row).reduce((sum, { size }) => sum + size, 0);
  const longest = Math.max(...rows.map(total));
  const names = 130;
  const values = 74;
  const bar = Math.min(46, (height - 40) / rows.length);
  return (
    <div style={{ width, height, display: 'flex', flexDirection: 'column', justifyContent: 'space-between' }}>
      <div>
        {rows.map((row) => (
          <div key={row} style={{ display: 'flex', alignItems: 'center', height: bar, fontSize: 12 }}>
            <span style={{ width: names, textAlign: 'right', paddingRight: 10, flexShrink: 0 }}>{row}</span>
            {parts.map((part) => {
              const size = points.find((point) => point.row === row && point.part === part)?.size ?? 0;
              return <i key={part} style={{ width: (size / longest) * (width - names - values), height: bar * 0.66, background: colourOf(panel, theme, part) }} />;
            })}
            <span style={{ paddingLeft: 8, color: theme.colors.text.secondary }}>{seconds(total(row))}</span>
          </div>
        ))}
      </div>
      <div className="keys">{parts.map((part) => <span key={part}><i style={{ background: colourOf(panel, theme, part) }} />{part}</span>)}</div>
    </div>
  );
}

// Cumulative buckets to cells, one column for each step.
export function Heatmap({ panel, width, height, answers, range, theme }) {
  const canvas = useRef(null);
  const [start, end, step] = range;
  const buckets = answers[`${panel.id}/A`]
    .map(({ metric, values }) => ({ le: metric.le === '+Inf' ? Infinity : Number(metric.le), at: new Map(values.map(([time, value]) => [Math.round((time - start) / step), Number(value)])) }))
    .sort((left, right) => left.le - right.le);
  const columns = Math.round((end - start) / step) + 1;
  const cells = buckets.map(({ at }, row) => Array.from({ length: columns }, (_, column) => Math.max(0, (at.get(column) ?? 0) - (row ? buckets[row - 1].at.get(column) ?? 0 : 0))));
  const used = cells.map((row) => row.some((value) => value > 1e-9));
  const [first, last] = [used.indexOf(true), used.lastIndexOf(true)];
  const shown = cells.slice(first, last + 1);
  const most = Math.max(...shown.flat());
  useEffect(() => {
    const [left, bottom, top] = [72, 24, 10];
    const scale = window.devicePixelRatio;
    const pen = canvas.current.getContext('2d');
    canvas.current.width = width * scale;
    canvas.current.height = height * scale;
    pen.scale(scale, scale);
    pen.font = '12px Inter, sans-serif';
    const [wide, high] = [(width - left) / columns, (height - bottom - top) / shown.length];
    shown.forEach((row, index) => {
      const upper = height - bottom - (index + 1) * high;
      row.forEach((value, column) => {
        if (value <= 1e-9) return;
        pen.fillStyle = viridis(Math.sqrt(value / most));
        pen.fillRect(left + column * wide, upper, wide - 0.6, high - 1);
      });
      pen.fillStyle = theme.colors.text.secondary;
      pen.textAlign = 'right';
      pen.fillText(seconds(buckets[first + index].le, null), left - 8, upper + 4);
    });
    pen.textAlign = 'center';
    for (let mark = 1; mark < 5; mark += 1) {
      const time = new Date((start + ((end - start) * mark) / 5) * 1000).toISOString().slice(11, 19);
      pen.fillText(time, left + ((width - left) * mark) / 5, height - 6);
    }
  }, []);
  return <canvas ref={canvas} style={{ width, height }} />;
}

const shown = (field, value) => {
  if (Number.isNaN(value)) return '';
  const { prefix, text, suffix } = field.display(value);
  return `${prefix ?? ''}${text}${suffix ?? ''}`;
};

const coloured = ({ config, display }, value) =>
  (config.custom?.cellOptions?.type === 'color-text' && !Number.isNaN(value) ? { color: display(value).color } : {});

// A table whose column `gauge` has bars; columns with limits have coloured text.
export function Sheet({ fields, gauge, theme }) {
  const [keys, ...columns] = fields;
  return (
    <table>
      <thead><tr>{fields.map(({ name }) => <th key={name}>{name}</th>)}</tr></thead>
      <tbody>
        {keys.values.map((key, row) => (
          <tr key={key}>
            <td style={keys.config.links ? { color: theme.colors.text.link } : {}}>{key}</td>
            {columns.map((field) => (
              <td key={field.name} style={coloured(field, field.values[row])}>
                {field.name === gauge && <i style={{ width: `${(70 * field.values[row]) / Math.max(...field.values)}%`, background: field.config.color.fixedColor }} />}
                {shown(field, field.values[row])}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
