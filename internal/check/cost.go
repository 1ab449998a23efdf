package check

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"
)

var costChecks = []*Check{
	{
		ID: "cost", Title: "What AWS charges for the key each month is known", Severity: Informational,
		Why: "Keys are paid for by the month, and so are the first two rotations of each. Whether rotation is worth its price is decided " +
			"better with the price at hand; requests are charged apart and are not counted here.",
		Fix:   fixCost,
		Needs: []Call{GetKeyRotationStatus, ListKeyRotations}, Eval: evalCost,
	},
}

//go:embed prices.json
var pricesJSON []byte

// Prices are what AWS charges for keys, in US cents a month, in the Regions outside China. A key of any type costs the same, and each
// related multi-Region key is a key of its own; keys that AWS manages and keys scheduled for deletion cost nothing.
type Prices struct {
	Date     string `json:"date"`     // when the source was last compared, YYYY-MM-DD
	Source   string `json:"source"`   // AWS's page
	Currency string `json:"currency"` // USD
	Key      int    `json:"keyMonthlyCents"`
	// Rotation is added by each of the first Charged rotations, automatic or on demand; those after them are free.
	Rotation int `json:"rotationMonthlyCents"`
	Charged  int `json:"chargedRotations"`
}

var priceTable = sync.OnceValue(func() Prices {
	var p Prices
	if err := json.Unmarshal(pricesJSON, &p, json.RejectUnknownMembers(true)); err != nil {
		panic("prices.json: " + err.Error())
	}
	return p
})

// PriceTable returns the prices that the check of cost uses.
func PriceTable() Prices { return priceTable() }

func dollars(cents int) string { return fmt.Sprintf("$%d.%02d", cents/100, cents%100) }

func evalCost(f *Facts, _ *Settings) Verdict {
	k, p := f.Key, PriceTable()
	if deletionPending(k) {
		v := pass("AWS charges nothing for a key that is scheduled for deletion (price of %s).", p.Date)
		v.Price = &Price{Date: p.Date}
		return v
	}
	rotations := 0
	for _, m := range f.Materials {
		if !m.Rotated.IsZero() {
			rotations++
		}
	}
	charged := min(rotations, p.Charged)
	price := &Price{MonthlyCents: p.Key + charged*p.Rotation, Date: p.Date}
	v := pass("AWS charges %s a month: %s for the key, %s for %d charged of %d rotations (prices of %s).",
		dollars(price.MonthlyCents), dollars(p.Key), dollars(charged*p.Rotation), charged, rotations, p.Date)
	// Where rotation cannot be enabled, it adds nothing.
	if f.Rotation != nil && !f.Rotation.Enabled && k.RotatesItself() && k.State == StateEnabled {
		more := p.Charged - charged
		price.RotationAddsCents = more * p.Rotation
		v = v.and("Enabling rotation adds %s a month in the end; %d further rotations are charged for.", dollars(price.RotationAddsCents), more)
	}
	if f.Materials == nil && k.RotatesItself() {
		v = v.and("The endpoint lists no rotations of this key, so none are in the price.")
	}
	v.Price = price
	return v
}

var fixCost = Remediation{
	Text: "There is nothing to mend. A key that is not needed costs nothing from the moment its deletion is scheduled; AWS managed keys are " +
		"free, but their policies cannot be changed.",
	Console:        "Billing and Cost Management, Cost Explorer: filter by service Key Management Service, group by usage type.",
	CLI:            `aws ce get-cost-and-usage --time-period Start=<first-day>,End=<last-day> --granularity MONTHLY --metrics UnblendedCost --filter '{"Dimensions":{"Key":"SERVICE","Values":["AWS Key Management Service"]}}' --group-by Type=DIMENSION,Key=USAGE_TYPE`,
	CloudFormation: "# Rotation that is paid for:\n" + rotatingKeyCloudFormation,
	Terraform:      "# Rotation that is paid for:\n" + rotatingKeyTerraform,
	URL:            "https://aws.amazon.com/kms/pricing/",
}
