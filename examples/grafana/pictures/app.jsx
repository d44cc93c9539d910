// Draws one dashboard: its JSON, and the answers to its queries, both in window.PICTURE (see render.py).
// Panel frames, time series and stats are Grafana's own components; bars, the heatmap and tables are in charts.jsx,
// because Grafana does not publish the first two, and its table does not run outside Grafana.
import { createDataFrame, createTheme, dateTime, EventBusSrv, FieldType, getDisplayProcessor, stringToJsRegex, ThemeContext } from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, PanelContextProvider, TimeSeries } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';
import { Bars, Heatmap, Sheet } from './charts.jsx';

const { board, answers, range, caption } = window.PICTURE;
const eventBus = new EventBusSrv();
const theme = createTheme({ colors: { mode: 'dark' } });
const CELL = 30;
const GAP = 8;
const MARGIN = 16;
const WIDTH = 1600;
const HEADER = 56;
const FOOTER = 34;
const timeRange = { from: dateTime(range[0] * 1000), to: dateTime(range[1] * 1000), raw: { from: 'now-1h', to: 'now' } };

const legend = (format, labels) => format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '').trim();

// What Grafana's applyFieldOverrides does, for the matchers the dashboards use.
function dress(field, panel, refId, index) {
  const { defaults, overrides } = panel.fieldConfig;
  const config = structuredClone(defaults);
  for (const { matcher, properties } of overrides) {
    const hit = (matcher.id === 'byName' && matcher.options === field.name)
      || (matcher.id === 'byRegexp' && stringToJsRegex(matcher.options).test(field.name))
      || (matcher.id === 'byFrameRefID' && matcher.options === refId);
    for (const { id, value } of hit ? properties : []) {
      if (id.startsWith('custom.')) {
        config.custom = { ...config.custom, [id.slice(7)]: value };
      } else {
        config[id] = value;
      }
    }
  }
  config.custom = { ...config.custom, hideFrom: { viz: false, legend: false, tooltip: false } };
  config.color ??= { mode: 'palette-classic' };
  config.thresholds?.steps.forEach((step) => { step.value ??= -Infinity; });
  field.config = config;
  field.state = { seriesIndex: index, displayName: field.name };
  field.display = getDisplayProcessor({ field, theme });
  field.getLinks = () => [];
  const numbers = field.values.filter((value) => typeof value === 'number' && !Number.isNaN(value));
  const [min, max] = [Math.min(0, ...numbers), Math.max(...numbers)];
  field.state.range = { min, max, delta: max - min };
  return field;
}

function lineFrames(panel) {
  let index = 0;
  return panel.targets.flatMap((target) => answers[`${panel.id}/${target.refId}`].map(({ metric, values }) => {
    const frame = createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: values.map(([time]) => time * 1000), config: { interval: range[2] * 1000 } },
        { name: legend(target.legendFormat, metric), type: FieldType.number, values: values.map(([, value]) => Number(value)), config: {} },
      ],
    });
    dress(frame.fields[1], panel, target.refId, index++);
    return frame;
  })).filter((frame) => frame.fields[1].values.some((value) => !Number.isNaN(value)));
}

const REDUCE = {
  mean: (values) => values.reduce((sum, value) => sum + value, 0) / values.length,
  max: (values) => Math.max(...values),
  lastNotNull: (values) => values.at(-1),
};

function Lines({ panel, width, height }) {
  const frames = lineFrames(panel);
  const rows = frames.length + 1;
  const mean = ({ fields: [, field] }) => REDUCE.mean(field.values.filter((value) => !Number.isNaN(value)));
  const listed = frames.toSorted((left, right) => mean(right) - mean(left));
  const legendHeight = Math.min(rows * 22 + 4, Math.floor((height * 0.5) / 22) * 22 + 4);
  const text = (field, value) => { const shown = field.display(value); return `${shown.prefix ?? ''}${shown.text}${shown.suffix ?? ''}`; };
  return (
    <PanelContextProvider value={{ eventBus, sync: () => 0 }}>
      <TimeSeries frames={frames} width={width} height={height - legendHeight} timeRange={timeRange} timeZone="utc"
        legend={{ showLegend: false, displayMode: 'hidden', placement: 'bottom', calcs: [] }} options={{}} tweakAxis={(axis) => ({ ...axis, size: 64 })} />
      <div className="legend" style={{ maxHeight: legendHeight }}>
        <div className="head"><span /><span>Name</span>{['Mean', 'Max', 'Last'].map((name) => <b key={name}>{name}</b>)}</div>
        {listed.map(({ fields: [, field] }, row) => {
          const numbers = field.values.filter((value) => !Number.isNaN(value));
          return (
            <div key={row}>
              <i style={{ background: field.display(numbers.at(-1)).color }} /><span>{field.name}</span>
              {['mean', 'max', 'lastNotNull'].map((calc) => <b key={calc}>{text(field, REDUCE[calc](numbers))}</b>)}
            </div>
          );
        })}
      </div>
    </PanelContextProvider>
  );
}

function Stats({ panel, width, height }) {
  const frames = lineFrames(panel);
  return (
    <div style={{ display: 'flex', gap: 6 }}>
      {frames.map(({ fields: [time, field] }) => (
        <BigValue key={field.name} theme={theme} width={width / frames.length - 6} height={height} colorMode="value" graphMode="area" textMode="value_and_name"
          justifyMode="auto" value={{ ...field.display(field.values.at(-1)), title: field.name }} sparkline={{ x: time, y: field }} />
      ))}
    </div>
  );
}

// The transformations `merge` and `organize`.
function Rows({ panel }) {
  const { renameByName, indexByName } = panel.transformations.find(({ id }) => id === 'organize').options;
  const [key] = Object.keys(indexByName).filter((name) => !name.startsWith('Value'));
  const columns = panel.targets.map((target) => answers[`${panel.id}/${target.refId}`]);
  const names = [...new Set(columns.flat().map(({ metric }) => metric[key]))];
  const cell = (column, name) => Number(column.find(({ metric }) => metric[key] === name)?.value[1] ?? NaN);
  const sorted = panel.options.sortBy[0].displayName;
  const by = panel.targets.findIndex(({ refId }) => renameByName[`Value #${refId}`] === sorted);
  names.sort((left, right) => cell(columns[by], right) - cell(columns[by], left));
  const frame = createDataFrame({ fields: [
    { name: renameByName[key], type: FieldType.string, values: names, config: {} },
    ...panel.targets.map(({ refId }, index) => ({
      name: renameByName[`Value #${refId}`], type: FieldType.number, values: names.map((name) => cell(columns[index], name)), config: {},
    })),
  ] });
  frame.fields.forEach((field, index) => dress(field, panel, '', index));
  return <Sheet fields={frame.fields} gauge={sorted} theme={theme} />;
}

const Nothing = () => <div className="nothing">Traces come from Tempo, which is not part of this picture.</div>;

// The traces' panel, the last one, is drawn as a strip: render.py reckons with it.
const silent = (panel) => panel.type === 'table' && !answers[`${panel.id}/A`];
const rows = (panel) => (silent(panel) ? 2 : panel.gridPos.h);

function body(panel) {
  if (silent(panel)) return Nothing;
  return { timeseries: Lines, stat: Stats, table: Rows, barchart: Bars, heatmap: Heatmap }[panel.type];
}

function Board() {
  const unit = (WIDTH - 2 * MARGIN + GAP) / 24;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="board" style={{ width: WIDTH }}>
        <header><h1>{board.title}</h1><span>{board.description}</span></header>
        {board.panels.map((panel) => {
          const { x, y, w } = panel.gridPos;
          const h = rows(panel);
          const Body = body(panel);
          const box = { left: MARGIN + x * unit, top: HEADER + y * (CELL + GAP), width: w * unit - GAP, height: h * (CELL + GAP) - GAP };
          return (
            <section key={panel.id} style={box}>
              <PanelChrome title={panel.title} width={box.width} height={box.height}>
                {(width, height) => <Body panel={panel} width={width} height={height} answers={answers} range={range} theme={theme} dress={dress} />}
              </PanelChrome>
            </section>
          );
        })}
        <footer style={{ top: HEADER + Math.max(...board.panels.map((panel) => panel.gridPos.y + rows(panel))) * (CELL + GAP), height: FOOTER }}>{caption}</footer>
      </div>
    </ThemeContext.Provider>
  );
}

createRoot(document.getElementById('root')).render(<Board />);
