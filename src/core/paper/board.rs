//! A dashboard for Grafana: panels that flow into rows, so that none overlaps another.
//!
//! Must not know what is asked: [`super::dashboard`] asks the metrics of applications, [`super::boards`] the operator's own.

use serde_json::{Map, Value, json};

/// Version of the format of dashboards: that of Grafana 10.3, which later ones bring up to date.
pub const SCHEMA_VERSION: u32 = 39;
/// Columns of Grafana's grid.
pub const COLUMNS: u32 = 24;
/// Name of the variable that chooses the Prometheus.
pub const SOURCE: &str = "source";

/// A panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its type: `timeseries`, `stat` or `table`.
    pub kind: &'static str,
    /// Its title.
    pub title: String,
    /// What it says to whoever asks.
    pub description: String,
    /// Columns and rows of the grid that it takes.
    pub size: (u32, u32),
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Queries, with what their series are called.
    pub asks: Vec<(String, String)>,
    /// Further members of `fieldConfig.defaults`.
    pub defaults: Map<String, Value>,
    /// Further members of the panel, such as `options`.
    pub further: Map<String, Value>,
}

impl Panel {
    fn json(self, id: usize, (x, y): (u32, u32)) -> Value {
        let targets = self.asks.into_iter().zip('A'..='Z').map(|((expr, legend), letter)| {
            let mut target = json!({"refId": letter.to_string(), "expr": expr, "legendFormat": legend});
            if self.kind == "table" {
                target["format"] = "table".into();
                target["instant"] = true.into();
            }
            target
        });
        let mut defaults = json!({"unit": self.unit});
        for (name, value) in self.defaults {
            defaults[name] = value;
        }
        let mut panel = json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": {"type": "prometheus", "uid": format!("${{{SOURCE}}}")},
            "gridPos": {"x": x, "y": y, "w": self.size.0, "h": self.size.1},
            "targets": targets.collect::<Vec<_>>(),
            "fieldConfig": {"defaults": defaults, "overrides": []},
        });
        for (name, value) in self.further {
            panel[name] = value;
        }
        panel
    }
}

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Board<'a> {
    /// Its title.
    pub title: &'a str,
    /// By what links name it; without one, Grafana makes one.
    pub uid: Option<&'a str>,
    /// Variables beside the one that chooses the Prometheus.
    pub variables: Vec<Value>,
    /// What it shows, from left to right and down.
    pub panels: Vec<Panel>,
}

impl Board<'_> {
    /// What Grafana imports.
    #[must_use]
    pub fn json(self) -> Value {
        let (mut x, mut y, mut height) = (0, 0, 0);
        let mut panels = Vec::with_capacity(self.panels.len());
        for (index, panel) in self.panels.into_iter().enumerate() {
            let (wide, high) = panel.size;
            if x + wide > COLUMNS {
                (x, y, height) = (0, y + height, 0);
            }
            panels.push(panel.json(index + 1, (x, y)));
            x += wide;
            height = height.max(high);
        }
        let source = json!({"name": SOURCE, "label": "Prometheus", "type": "datasource", "query": "prometheus"});
        let variables: Vec<Value> = [source].into_iter().chain(self.variables).collect();
        let mut board = json!({
            "title": self.title,
            "tags": ["trimtab"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": true,
            "time": {"from": "now-6h", "to": "now"},
            "refresh": "30s",
            "templating": {"list": variables},
            "panels": panels,
        });
        if let Some(uid) = self.uid {
            board["uid"] = uid.into();
        }
        board
    }
}
